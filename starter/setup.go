package starter

import (
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/ltp-node/ltp"
)

// SearchAttributes are what a namespace must know before orders can be deferred.
func SearchAttributes() map[string]enumspb.IndexedValueType {
	return map[string]enumspb.IndexedValueType{
		ltp.StateAttribute:     enumspb.INDEXED_VALUE_TYPE_KEYWORD,
		ltp.ComponentAttribute: enumspb.INDEXED_VALUE_TYPE_KEYWORD,
		ltp.EpochAttribute:     enumspb.INDEXED_VALUE_TYPE_INT,
		ltp.CustomerAttribute:  enumspb.INDEXED_VALUE_TYPE_KEYWORD,
		ltp.TenantAttribute:    enumspb.INDEXED_VALUE_TYPE_KEYWORD,
		ltp.ReasonAttribute:    enumspb.INDEXED_VALUE_TYPE_KEYWORD,
		ltp.PriorityAttribute:  enumspb.INDEXED_VALUE_TYPE_INT,
	}
}

// Missing returns the search attributes that the namespace does not know, or knows
// as another type, which is an error.
func Missing(ctx context.Context, c client.Client, namespace string) (map[string]enumspb.IndexedValueType, error) {
	known, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if errors.As(err, new(*serviceerror.NamespaceNotFound)) {
		return nil, fmt.Errorf("namespace %s is not there: make it with ltp setup --retention 720h, or name another one: %w", namespace, err)
	}
	if err != nil {
		return nil, unreachable("list the search attributes of namespace "+namespace, err)
	}
	missing := SearchAttributes()
	for name, want := range SearchAttributes() {
		is, ok := known.GetCustomAttributes()[name]
		if ok && is != want {
			return nil, fmt.Errorf("search attribute %s of namespace %s is of type %s and must be %s: remove it there, or use another namespace", name, namespace, is, want)
		}
		if ok {
			delete(missing, name)
		}
	}
	return missing, nil
}

// Setup registers the search attributes that the namespace does not know yet, and
// returns their names. It may be run again.
func Setup(ctx context.Context, c client.Client, namespace string) ([]string, error) {
	missing, err := Missing(ctx, c, namespace)
	if err != nil || len(missing) == 0 {
		return nil, err
	}
	_, err = c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
		Namespace: namespace, SearchAttributes: missing,
	})
	if err != nil && !errors.As(err, new(*serviceerror.AlreadyExists)) {
		return nil, unreachable("register search attributes in namespace "+namespace, err)
	}
	var names []string
	for name := range missing {
		names = append(names, name)
	}
	return names, nil
}

// MakeNamespace makes the namespace unless it is there, and returns whether it did, when
// Temporal answers for it: servers learn of a new one seconds later. Retention is how long
// the history of an ended order is kept, a day at least; a namespace that is there keeps
// its own.
func MakeNamespace(ctx context.Context, c client.Client, namespace string, retention time.Duration) (made bool, err error) {
	_, err = c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: namespace})
	if err == nil { // whoever may not make namespaces need not
		return false, nil
	}
	if !errors.As(err, new(*serviceerror.NamespaceNotFound)) && !errors.As(err, new(*serviceerror.NotFound)) {
		return false, unreachable("look for namespace "+namespace, err)
	}
	_, err = c.WorkflowService().RegisterNamespace(ctx, &workflowservice.RegisterNamespaceRequest{
		Namespace: namespace, WorkflowExecutionRetentionPeriod: durationpb.New(retention),
	})
	if made = err == nil; !made && !errors.As(err, new(*serviceerror.NamespaceAlreadyExists)) {
		return false, unreachable("make namespace "+namespace, err)
	}
	tick := time.NewTicker(namespaceLook)
	defer tick.Stop()
	for {
		_, err := Missing(ctx, c, namespace)
		if !errors.As(err, new(*serviceerror.NamespaceNotFound)) {
			return made, err
		}
		select {
		case <-ctx.Done():
			return made, err
		case <-tick.C:
		}
	}
}

// namespaceLook is the pause between two looks whether a new namespace is known.
const namespaceLook = 250 * time.Millisecond
