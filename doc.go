// Package ltp holds the words and the rules of the LTP order node: what an
// order is, what we hold true of the components it depends on, when it may be
// executed and when it must wait.
//
// Everything here is a value or a pure function and needs only the standard
// library. Workflows and activities carry these rules out on Temporal; reading
// this package first is the shortest way to understand them:
//
//   - order.go: an order, and what is refused at the door
//   - orientation.go: a component, its state, its epoch and the evidence
//   - machine.go: the state machine of a component (observation → state)
//   - decision.go: the decision table (state → EXECUTE, DEFER, REJECT, FREEZE)
//   - progress.go: the state machine of an order (what happened → what to do next)
//   - routing.go, attempt.go, execution.go: what a check and an execution are asked and answer
//   - hold.go, pass.go, policy.go, replaycontrol.go: what operators may say
//   - failing.go, outlier.go: failures of many orders, and of one worker
//   - sequence.go: orders with an ordering key
//   - frame.go: the entries of the trace
//   - times.go: in which order the times of an order must stand, and by whose clocks
//   - names.go: workflow IDs, task queues and search attributes
package ltp
