package starter_test

import (
	"log"
	"log/slog"
	"os"
)

func tempDir() string {
	dir, err := os.MkdirTemp("", "ltp-example-")
	if err != nil {
		log.Fatal(err)
	}
	return dir
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }
