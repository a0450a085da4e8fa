// Package memo reads the memos of workflows.
package memo

import (
	"fmt"

	commonpb "go.temporal.io/api/common/v1"

	"github.com/ltp-node/ltp/payload"
)

// Read decodes a field of a memo, if it is there.
func Read(m *commonpb.Memo, field string, into any) (found bool, err error) {
	p, found := m.GetFields()[field]
	if !found {
		return false, nil
	}
	if err := payload.Converter().FromPayload(p, into); err != nil {
		return true, fmt.Errorf("memo %s is damaged: %w", field, err)
	}
	return true, nil
}
