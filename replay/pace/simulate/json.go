package simulate

import (
	"encoding/json"
	"time"
)

// MarshalJSON writes times in milliseconds, and the load over time as columns.
func (r Result) MarshalJSON() ([]byte, error) {
	type plain Result
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	type since struct {
		At    float64 `json:"at_ms"`
		State string  `json:"state"`
	}
	out := struct {
		plain
		Drain   float64 `json:"drain_ms"`
		Cleared float64 `json:"cleared_ms"`
		P50     float64 `json:"write_p50_ms"`
		P99     float64 `json:"write_p99_ms"`
		Slowest float64 `json:"write_slowest_ms"`
		Step    float64 `json:"step_ms"`
		Series  columns `json:"series"`
		States  []since `json:"states"`
	}{
		plain: plain(r), Drain: ms(r.Drain), Cleared: ms(r.Cleared),
		P50: ms(r.P50), P99: ms(r.P99), Slowest: ms(r.Slowest), Step: ms(r.Step),
	}
	for _, s := range r.Steps {
		out.Series.Released = append(out.Series.Released, s.Released)
		out.Series.Committed = append(out.Series.Committed, s.Committed)
		out.Series.IntoFailed = append(out.Series.IntoFailed, s.IntoFailed)
		out.Series.Rate = append(out.Series.Rate, s.Rate)
		out.Series.Mean = append(out.Series.Mean, ms(s.Mean))
		out.Series.Slowest = append(out.Series.Slowest, ms(s.Slowest))
		out.Series.Busy = append(out.Series.Busy, s.Busy)
		out.Series.Waiting = append(out.Series.Waiting, s.Waiting)
	}
	for _, s := range r.States {
		out.States = append(out.States, since{ms(s.At), string(s.State)})
	}
	return json.Marshal(out)
}

// columns are the steps of a result, a list for each of their fields.
type columns struct {
	Released   []int     `json:"released"`
	Committed  []int     `json:"committed"`
	IntoFailed []int     `json:"writes_into_failed"`
	Rate       []float64 `json:"rate"`
	Mean       []float64 `json:"write_mean_ms"`
	Slowest    []float64 `json:"write_slowest_ms"`
	Busy       []int     `json:"busy"`
	Waiting    []int64   `json:"waiting"`
}
