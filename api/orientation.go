package api

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
)

// orientation is what is held true of a component, as the API shows it: without the
// error and the facts of the evidence, which are for operators.
type orientation struct {
	ltp.Orientation
	Since time.Time `json:"since,omitzero"` // zero when nothing is known yet
	// ReadAt is from when this is; Fresh says that it is recent enough to route by.
	ReadAt time.Time `json:"read_at,omitzero"`
	Fresh  bool      `json:"fresh"`
	// Blind says that State is UNKNOWN because this process could not see, not
	// because somebody said so.
	Blind bool `json:"blind"`
	// Steering is what an operator says of the component's replays, while it says
	// something.
	Steering ltp.Steering `json:"steering,omitzero"`
}

// look reads a component off the board.
func (a *api) look(component string) orientation {
	now := time.Now()
	r := a.board.Orientation(component)
	o := orientation{Orientation: r.Orientation, Since: r.Since, Blind: r.Blind, Steering: r.Steering}
	o.Evidence.Error, o.Evidence.Facts = "", nil
	// A reading that is not older than this very question is no reading: the board
	// has none.
	if age := now.Sub(r.ReadAt); age > 0 && !r.ReadAt.IsZero() {
		o.ReadAt, o.Fresh = r.ReadAt.UTC(), age <= board.Lease
	}
	return o
}

// orientations shows every component on the board: GET /orientation.
func (a *api) orientations(w http.ResponseWriter, _ *http.Request) *problem {
	var all struct {
		Components []orientation `json:"components"`
	}
	all.Components = []orientation{}
	for _, c := range a.board.Components() {
		all.Components = append(all.Components, a.look(c))
	}
	reply(w, http.StatusOK, all)
	return nil
}

// orientation shows one component: GET /orientation/{component}.
func (a *api) orientation(w http.ResponseWriter, r *http.Request) *problem {
	component := r.PathValue("component")
	if !slices.Contains(a.board.Components(), component) {
		return componentNotFound.because("GET /orientation lists the components there are.")
	}
	reply(w, http.StatusOK, a.look(component))
	return nil
}

// healthy says that the process lives: GET /healthz.
func (a *api) healthy(w http.ResponseWriter, _ *http.Request) *problem {
	_, _ = io.WriteString(w, "ok\n")
	return nil
}

// ready says whether this process can accept orders: GET /readyz. It can when
// Temporal has lately answered for every component, whatever it answered: taking in
// orders while a component is unfit is what the API is for.
func (a *api) ready(w http.ResponseWriter, _ *http.Request) *problem {
	var missing []string
	for _, c := range a.board.Components() {
		if o := a.look(c); !o.Fresh {
			missing = append(missing, fmt.Sprintf("the orientation of %s: %s", c, o.Reason))
		}
	}
	if len(missing) > 0 {
		p := notReady.because("Temporal has not answered for " + strings.Join(missing, "; ") + ". Check that Temporal runs, that its address is right, and that the component is configured.")
		p.Missing = missing
		return p.after(unreachableRetry)
	}
	_, _ = io.WriteString(w, "ready\n")
	return nil
}
