package printer

import (
	"fmt"
	"unicode/utf8"
)

// Style is an ANSI code, or empty.
type Style string

// The styles.
const (
	Plain   Style = ""
	Bold    Style = "1"
	Faint   Style = "2"
	Red     Style = "1;31"
	Green   Style = "32"
	Yellow  Style = "33"
	Magenta Style = "35"
	Cyan    Style = "36"
)

// Line is text in styles. Where it is wrapped, it is broken at spaces.
type Line []span

// span is text of one style.
type span struct {
	text  string
	style Style
}

// Glue is a space at which no line is broken.
const Glue = "\u00a0"

// In is text in a style. What came from outside must have been cleaned: see words.Clean.
func In(s Style, format string, args ...any) Line { return Line(nil).In(s, format, args...) }

// Say is plain text.
func Say(format string, args ...any) Line { return In(Plain, format, args...) }

// Whisper is faint text.
func Whisper(format string, args ...any) Line { return In(Faint, format, args...) }

// In is l with more text in a style.
func (l Line) In(s Style, format string, args ...any) Line {
	return append(l, span{fmt.Sprintf(format, args...), s})
}

// Say is l with more plain text.
func (l Line) Say(format string, args ...any) Line { return l.In(Plain, format, args...) }

// Whisper is l with more faint text.
func (l Line) Whisper(format string, args ...any) Line { return l.In(Faint, format, args...) }

func (l Line) width() (n int) {
	for _, s := range l {
		n += utf8.RuneCountInString(s.text)
	}
	return n
}

// glyph is one column.
type glyph struct {
	r     rune
	style Style
}

// wrapped is l broken between words into lines of at most width columns; a word that
// is longer is broken too.
func (l Line) wrapped(width int) (lines [][]glyph) {
	var word, current []glyph
	flush := func() {
		if len(word) == 0 {
			return
		}
		if len(current) > 0 && len(current)+1+len(word) > width {
			lines, current = append(lines, current), nil
		}
		if n := len(current); n > 0 {
			space := glyph{' ', Plain}
			if current[n-1].style == word[0].style {
				space.style = word[0].style
			}
			current = append(current, space)
		}
		for current = append(current, word...); len(current) > width; current = current[width:] {
			lines = append(lines, current[:width:width])
		}
		word = nil
	}
	for _, s := range l {
		for _, r := range s.text {
			if r == ' ' {
				flush()
				continue
			}
			if string(r) == Glue {
				r = ' '
			}
			word = append(word, glyph{r, s.style})
		}
	}
	flush()
	if len(current) > 0 || len(lines) == 0 {
		lines = append(lines, current)
	}
	return lines
}
