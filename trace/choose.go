package trace

import (
	"errors"
	"fmt"
)

// ErrNoIncident: the component has had no incident.
var ErrNoIncident = errors.New("it has had no incident")

// UnknownIncidentError says that there is no incident of that number.
type UnknownIncidentError struct {
	No int
	// Count is how many there are: their numbers are 1 to Count.
	Count int
}

func (e *UnknownIncidentError) Error() string {
	if e.Count == 1 {
		return fmt.Sprintf("there is no incident %d: the only one is 1 (see ltp inspect --incidents)", e.No)
	}
	return fmt.Sprintf("there is no incident %d: there are 1 to %d (see ltp inspect --incidents)", e.No, e.Count)
}

// Choose returns the incident of the number no, of all incidents of a component as
// Incidents returns them: 1 is the oldest that Temporal still knows. With 0 it is the
// Latest. The error is ErrNoIncident where there are none, or *UnknownIncidentError.
func Choose(incidents []Incident, no int) (Incident, error) {
	latest, any := Latest(incidents)
	switch {
	case !any:
		return Incident{}, ErrNoIncident
	case no == 0:
		return latest, nil
	case no < 1 || no > len(incidents):
		return Incident{}, &UnknownIncidentError{No: no, Count: len(incidents)}
	}
	return incidents[no-1], nil
}
