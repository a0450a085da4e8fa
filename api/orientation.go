package api

import (
	"net/http"
	"slices"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
)

// orientation is what is held true of a component, as operators are shown it.
type orientation struct {
	ltp.Orientation
	Since time.Time `json:"since,omitzero"` // zero when nothing is known yet
	// ReadAt is from when this is; Fresh says that it is recent enough to route by.
	ReadAt time.Time `json:"read_at,omitzero"`
	Fresh  bool      `json:"fresh"`
	// Unreadable says that State is UNKNOWN because this process could not see, not
	// because somebody said so.
	Unreadable bool `json:"blind"`
	// ReplayControl is what an operator says of the component's replays, while it says
	// something.
	ReplayControl ltp.ReplayControl `json:"steering,omitzero"`
}

// orientationOf reads a component off the board.
func orientationOf(b *board.Board, component string) orientation {
	now := time.Now()
	r := b.Orientation(component)
	o := orientation{Orientation: r.Orientation, Since: r.Since, Unreadable: r.Unreadable, ReplayControl: r.ReplayControl}
	// A reading that is not older than this very question is no reading: the board
	// has none.
	if age := now.Sub(r.ReadAt); age > 0 && !r.ReadAt.IsZero() {
		o.ReadAt, o.Fresh = r.ReadAt.UTC(), age <= board.Lease
	}
	return o
}

// orientations shows every component on the board: GET /orientation.
func (a *admin) orientations(w http.ResponseWriter, _ *http.Request) *problem {
	var all struct {
		Components []orientation `json:"components"`
		// Workers are those that run orders; absent where nothing is known of them.
		Workers *board.Workers `json:"workers,omitempty"`
	}
	all.Components = []orientation{}
	for _, c := range a.board.Components() {
		all.Components = append(all.Components, orientationOf(a.board, c))
	}
	if workers, known := a.board.Workers(); known {
		all.Workers = &workers
	}
	reply(w, http.StatusOK, all)
	return nil
}

// orientation shows one component: GET /orientation/{component}.
func (a *admin) orientation(w http.ResponseWriter, r *http.Request) *problem {
	component := r.PathValue("component")
	if !slices.Contains(a.board.Components(), component) {
		return componentNotFound.withDetail("GET /orientation lists the components there are.")
	}
	reply(w, http.StatusOK, orientationOf(a.board, component))
	return nil
}
