package apikey

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/reload"
	"github.com/ltp-node/ltp/payload"
)

// lookEvery is how often the file is looked at, at most: so long may a key that was revoked
// be good.
const lookEvery = time.Second

// Keys are the keys of a file as it is now. They are safe for concurrent use.
type Keys struct{ *reload.Value[index] }

// Open reads a file of keys that nobody but its owner can read or change, by the rule of
// [payload.ReadKeys]. Keys looks at it again once a second where it is asked; while it
// is of no use, the keys of before stay, and log says so.
func Open(path string, log *slog.Logger) (Keys, error) {
	v, err := reload.New(keySource(path), lookEvery, func(x index, err error) {
		if err != nil {
			log.Warn("the file of API keys has changed and is of no use: the keys of before stay, those too that were revoked since", "error", err)
			return
		}
		log.Info("the file of API keys has changed and was read", "keys", len(x.keys))
	})
	return Keys{v}, err
}

func keySource(path string) reload.Source[index] {
	return func() (string, func() (index, error)) {
		data, err := payload.ReadSecret(path)
		return fmt.Sprintf("%v\n%s", err, data), func() (index, error) {
			f, err := parsed(path, data, err)
			return f.index(), err
		}
	}
}

func parsed(path string, data []byte, err error) (File, error) {
	var f File
	if err == nil {
		if f, err = Parse(data); err != nil {
			err = fmt.Errorf("%s: %w", path, err)
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return File{}, fmt.Errorf("API keys: %w: make the first with ltp keys create --keys %s", err, path)
	case err != nil:
		return File{}, fmt.Errorf("API keys: %w", err)
	}
	return f, nil
}

// Identify says whose secret it is. An error says in a sentence, to whoever shows it, why it
// is nobody's.
func (k Keys) Identify(_ context.Context, secret string) (ltp.Identity, error) {
	return k.Current().identify(secret, time.Now())
}

// HasPrefix reports whether a secret has the form of a key's: whatever else may be shown has not.
func HasPrefix(secret string) bool { return strings.HasPrefix(secret, "ltp_") }

// Bounds are those of the customers of a tenant.
func (k Keys) Bounds(tenant string) ltp.Bounds { return k.Current().tenants[tenant] }

// Read reads a file of keys, as [Open] does.
func Read(path string) (File, error) {
	data, err := payload.ReadSecret(path)
	return parsed(path, data, err)
}

// Change changes a file of keys, or makes it, and leaves it as it was where change returns
// an error. Whoever reads it meanwhile finds the whole file of before or of after. Changes
// at the same time follow each other.
func Change(path string, change func(*File) error) error {
	target, err := filepath.EvalSymlinks(path) // else it would take the place of the link
	if errors.Is(err, fs.ErrNotExist) {
		target, err = path, nil
	}
	if err != nil {
		return fmt.Errorf("API keys: %w", err)
	}
	dir, err := os.Open(filepath.Dir(target))
	if err != nil {
		return fmt.Errorf("API keys: %w", err)
	}
	defer dir.Close() // which ends the lock
	if err := syscall.Flock(int(dir.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("API keys: lock the directory of %s: %w", path, err)
	}
	f, err := Read(target)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := change(&f); err != nil {
		return err
	}
	var data bytes.Buffer
	e := json.NewEncoder(&data)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(f); err != nil {
		return fmt.Errorf("API keys: %w", err)
	}
	if data.Len() > payload.LargestSecret {
		return fmt.Errorf("API keys: %s would have more than %d bytes: take keys out of it that were revoked or have expired", path, payload.LargestSecret)
	}
	if err := replace(dir, target, data.Bytes()); err != nil {
		return fmt.Errorf("API keys: write %s: %w", path, err)
	}
	return nil
}

// replace puts data in the place of a file, at once and to last. The new one has the mode
// 0600, and the owner of the old one where we may say so.
func replace(dir *os.File, path string, data []byte) error {
	was, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // with the mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if was != nil {
		if owner, ok := was.Sys().(*syscall.Stat_t); ok {
			_ = f.Chown(int(owner.Uid), int(owner.Gid))
		}
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return dir.Sync()
}
