package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
)

// newFile begins a file that takes the place of the one at path once it is whole, on disk,
// and CloseAtomicallyReplace is called. Cleanup leaves nothing of it, also after that.
func newFile(path string) (*renameio.PendingFile, error) {
	if at, err := filepath.EvalSymlinks(path); err == nil {
		path = at // what the link names is replaced, and not the link
	}
	dir := filepath.Dir(path)
	switch at, err := os.Stat(path); {
	case err != nil:
	case at.IsDir():
		return nil, fmt.Errorf("%s is a directory: name a file in it", path)
	case !at.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no file: name one", path)
	}
	file, err := renameio.NewPendingFile(path, renameio.WithTempDir(dir), renameio.WithStaticPermissions(0o644))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no directory %s: make it, or name another file", dir)
	}
	return file, err
}

// writeFile writes a file anew, whole or not at all.
func writeFile(path string, write func(io.Writer) error) error {
	if at, err := os.Stat(path); err == nil && !at.Mode().IsRegular() && !at.IsDir() { // a pipe, or a device
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(write(file), file.Close())
	}
	file, err := newFile(path)
	if err != nil {
		return err
	}
	if err := write(file); err != nil {
		return errors.Join(err, file.Cleanup())
	}
	return file.CloseAtomicallyReplace()
}

// writeBytes is an argument of writeFile.
func writeBytes(content []byte) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	}
}
