package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"google.golang.org/grpc/balancer"
)

// TestNothingIsLinkedThatHasGRPCAskForMoreOfTheDNS: grpclb, which comes with the clients of
// Google Cloud, has every connection ask for SRV records first, and no part reaches Temporal
// in a network without a way out, where nobody answers that.
func TestNothingIsLinkedThatHasGRPCAskForMoreOfTheDNS(t *testing.T) {
	assert.Nil(t, balancer.Get("grpclb"))
}
