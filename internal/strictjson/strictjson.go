// Package strictjson reads the files that an operator writes: one JSON object each, in which
// nothing is overlooked.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Decode reads data into a struct. It returns an error for a member that the struct does not
// have, for one that stands there twice, and for anything before or after the object.
func Decode(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if bytes.Equal(bytes.TrimSpace(data), []byte("null")) {
		return errors.New("null is no object")
	}
	if err := once(json.NewDecoder(bytes.NewReader(data))); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something stands after the object")
	}
	return nil
}

// once returns an error for an object that has a member twice, in whatever capitals: the
// last would win.
func once(d *json.Decoder) error {
	t, err := d.Token()
	switch {
	case err != nil:
		return err
	case t == json.Delim('['):
		for d.More() {
			if err := once(d); err != nil {
				return err
			}
		}
	case t == json.Delim('{'):
		seen := map[string]bool{}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return err
			}
			known := strings.ToLower(name.(string))
			if seen[known] {
				return fmt.Errorf("%q stands there twice", name)
			}
			seen[known] = true
			if err := once(d); err != nil {
				return err
			}
		}
	default:
		return nil
	}
	_, err = d.Token()
	return err
}
