package replay_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ltp-node/ltp"
)

// store is how the visibility store of a namespace answers.
type store struct {
	broken error // what it answers
	hangs  bool  // it does not
	// frozen is what it has listed since its index stood still.
	frozen map[string]bool
	// page is, if set, what it lists whatever is asked for, with more to come.
	page []*waiting
	// counts is, if set, what it counts of so many.
	counts func(int64) int64

	lists, counted int // how often it was asked
	listed         int // how many orders it has listed
}

// freeze makes the store answer from now on with what it lists at this moment.
func (n *namespace) freeze() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.frozen = map[string]bool{}
	for id, w := range n.orders {
		n.frozen[id] = w.listed()
	}
}

// change changes how the store answers, or what there is.
func (n *namespace) change(how func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	how()
}

var (
	backlogQuery  = regexp.MustCompile(`^WorkflowType='Order' AND ExecutionStatus='Running' AND LtpState='DEFERRED' AND LtpComponent='([^']*)' AND LtpEpoch<(\d+)(.*)$`)
	tenantQuery   = regexp.MustCompile(`^ AND LtpTenant(?: IS (NOT )?NULL|='([^']*)')(.*)$`)
	sliceQuery    = regexp.MustCompile(`^(.*) AND ExecutionTime>='([^']*)' AND ExecutionTime<'([^']*)'$`)
	priorityQuery = regexp.MustCompile(`^ AND (?:LtpPriority (IS NOT NULL)|\(LtpPriority (IS NULL) OR LtpPriority([<=])(\d)\)|LtpPriority(<|=|>=)(\d))$`)
)

// asks understands as much of the store's language as a release speaks.
func asks(query string) (func(*waiting) bool, error) {
	q := backlogQuery.FindStringSubmatch(query)
	if q == nil {
		return nil, fmt.Errorf("invalid query: %s", query)
	}
	before, err := strconv.ParseInt(q[2], 10, 64)
	from, to := time.Time{}, time.Now().Add(1000*time.Hour)
	where := q[3]
	if slice := sliceQuery.FindStringSubmatch(where); slice != nil {
		var err1, err2 error
		from, err1 = time.Parse(time.RFC3339Nano, slice[2])
		to, err2 = time.Parse(time.RFC3339Nano, slice[3])
		err, where = errors.Join(err, err1, err2), slice[1]
	}
	whose := func(*waiting) bool { return true }
	if tenant := tenantQuery.FindStringSubmatch(where); tenant != nil {
		whose, where = func(w *waiting) bool { return (w.tenant == tenant[2]) == (tenant[1] == "") }, tenant[3]
	}
	class := func(*waiting) bool { return true }
	if where != "" {
		p := priorityQuery.FindStringSubmatch(where)
		if p == nil {
			return nil, fmt.Errorf("invalid query: %s", query)
		}
		class = func(w *waiting) bool {
			none := w.priority == nil
			switch {
			case p[1] != "":
				return !none
			case p[2] != "":
				return none || compares(*w.priority, p[3], p[4])
			}
			return !none && compares(*w.priority, p[5], p[6])
		}
	}
	return func(w *waiting) bool {
		return w.of == q[1] && w.under < before && !w.started.Before(from) && w.started.Before(to) && class(w) && whose(w)
	}, err
}

func compares(priority int, how, with string) bool {
	n, _ := strconv.Atoi(with)
	return (how == "<" && priority < n) || (how == "=" && priority == n) || (how == ">=" && priority >= n)
}

// find answers a query as the store does at this moment: newest first.
func (n *namespace) find(ctx context.Context, query string) ([]*waiting, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.hangs {
		n.mu.Unlock()
		<-ctx.Done()
		n.mu.Lock()
		return nil, ctx.Err()
	}
	if n.broken != nil {
		return nil, n.broken
	}
	asked, err := asks(query)
	if err != nil {
		panic(err) // whoever asks so would only ask again
	}
	var found []*waiting
	for id, w := range n.orders {
		listed := w.listed()
		if n.frozen != nil {
			listed = n.frozen[id]
		}
		if listed && asked(w) {
			found = append(found, w)
		}
	}
	slices.SortFunc(found, func(x, y *waiting) int { return cmp.Or(y.started.Compare(x.started), cmp.Compare(y.id, x.id)) })
	return found, ctx.Err()
}

func (n *namespace) CountWorkflow(ctx context.Context, r *workflowservice.CountWorkflowExecutionsRequest) (*workflowservice.CountWorkflowExecutionsResponse, error) {
	found, err := n.find(ctx, r.GetQuery())
	n.mu.Lock()
	defer n.mu.Unlock()
	n.counted++
	count := int64(len(found))
	if n.counts != nil {
		count = n.counts(count)
	}
	return &workflowservice.CountWorkflowExecutionsResponse{Count: count}, err
}

func (n *namespace) ListWorkflow(ctx context.Context, r *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	found, err := n.find(ctx, r.GetQuery())
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lists++
	if n.page != nil {
		return &workflowservice.ListWorkflowExecutionsResponse{Executions: described(n.page), NextPageToken: []byte("again")}, nil
	}
	first := 0
	if token := string(r.GetNextPageToken()); token != "" {
		// The page goes on after the last order of the page before it.
		first = slices.IndexFunc(found, func(w *waiting) bool { return place(w) < token })
		if first < 0 {
			first = len(found)
		}
	}
	page := found[first:min(first+int(r.GetPageSize()), len(found))]
	n.listed += len(page)
	answer := &workflowservice.ListWorkflowExecutionsResponse{Executions: described(page)}
	if first+len(page) < len(found) {
		answer.NextPageToken = []byte(place(page[len(page)-1]))
	}
	return answer, nil
}

func described(page []*waiting) []*workflowpb.WorkflowExecutionInfo {
	infos := make([]*workflowpb.WorkflowExecutionInfo, len(page))
	for i, w := range page {
		infos[i] = &workflowpb.WorkflowExecutionInfo{
			Execution: &commonpb.WorkflowExecution{WorkflowId: w.id}, ExecutionTime: timestamppb.New(w.started),
			SearchAttributes: w.attributes(),
		}
	}
	return infos
}

// attributes are the search attributes of an order.
func (w *waiting) attributes() *commonpb.SearchAttributes {
	fields := map[string]*commonpb.Payload{ltp.ComponentAttribute: payload(w.of), ltp.EpochAttribute: payload(w.under)}
	if w.priority != nil {
		fields[ltp.PriorityAttribute] = payload(*w.priority)
	}
	return &commonpb.SearchAttributes{IndexedFields: fields}
}

// place sorts as the store lists.
func place(w *waiting) string {
	return w.started.UTC().Format("2006-01-02T15:04:05.000000000") + w.id
}
