package trace

// Hold sets how many bytes of frames a stream holds in memory.
func (s *FrameStream) Hold(most int) { s.waits.Most = most }
