package orderdb

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// sqlScanner splits SQL into its statements and finds the parameters in them, as the
// database would: not within quotes, dollar quotes and comments.
type sqlScanner struct {
	text string
	kind kind
	at   int // of the next byte
	line int // that it is on, from 1
}

// sqlStatement is one statement of a text.
type sqlStatement struct {
	// first is its first word in capital letters, and line where it stands.
	first string
	line  int
	// parts are its text; those with a name are parameters.
	parts []sqlPart
}

type sqlPart struct {
	text string
	name string
	line int
}

// statements are those of the text, without those that are empty. The error names the line
// of what is not closed, or of a parameter that has no name.
func (s *sqlScanner) statements() (all []sqlStatement, err error) {
	s.line = 1
	var now sqlStatement
	end := func() {
		if now.first != "" {
			all = append(all, now)
		}
		now = sqlStatement{}
	}
	for s.at < len(s.text) {
		line, from := s.line, s.at
		first, name, err := s.token()
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
		text := s.text[from:s.at]
		s.line += strings.Count(text, "\n")
		if text == ";" {
			end()
			continue
		}
		if now.first == "" && first != "" {
			now.first, now.line = strings.ToUpper(first), line
		}
		if name != "" {
			now.parts = append(now.parts, sqlPart{text: strings.TrimSuffix(text, "@"+name), line: line}, sqlPart{name: name, line: line})
			continue
		}
		now.parts = append(now.parts, sqlPart{text: text, line: line})
	}
	end()
	return all, nil
}

// token goes past the next token. It returns the word that may begin a statement, which is
// the token itself where it is neither white space nor a comment nor a bracket, and the
// name where the token ends in a parameter.
func (s *sqlScanner) token() (word, name string, err error) {
	from, rest := s.at, s.text[s.at:]
	c := rest[0]
	switch {
	case strings.IndexByte(white, c) >= 0, c == '(', c == ')', c == ';':
		s.at++
		return "", "", nil
	case strings.HasPrefix(rest, "--"):
		s.at += len(until(rest, "\n"))
		return "", "", nil
	case strings.HasPrefix(rest, "/*"):
		return "", "", s.comment()
	case c == '\'' || c == '"':
		err = s.quoted(c, false)
	case s.kind == sqlite && c == '`':
		err = s.quoted(c, false)
	case s.kind == sqlite && c == '[':
		err = s.closed(1, "]", "[")
	case c == '$':
		err = s.dollar()
	case s.kind == sqlite && (c == '?' || c == ':'):
		s.at++
		return "", "", noParameter(c)
	case beginsWord(rest):
		s.skipWord()
		if w := s.text[from:s.at]; s.kind == postgres && (w == "e" || w == "E") && strings.HasPrefix(s.text[s.at:], "'") {
			err = s.quoted('\'', true)
		}
	case c >= '0' && c <= '9':
		for s.at++; s.at < len(s.text) && (s.text[s.at] == '.' || isWordByte(s.text[s.at])); s.at++ {
		}
	case s.isOperator(c):
		name = s.operator()
	default:
		s.at++
	}
	return s.text[from:s.at], name, err
}

// white is what separates tokens.
const white = " \t\r\n\f\v"

func noParameter(c byte) error {
	return fmt.Errorf("%c begins no parameter here: write @ and the name, as in @id", c)
}

// isOperator takes the characters of which operators of Postgres consist.
func (s *sqlScanner) isOperator(c byte) bool {
	return strings.IndexByte("+-*/<>=~!@#%^&|", c) >= 0 || c == '?' && s.kind == postgres
}

// operator goes past a run of them, and past the parameter that its last @ begins. After
// < and @ it begins none: <@ and @@ are operators of Postgres.
func (s *sqlScanner) operator() (name string) {
	from := s.at
	for s.at < len(s.text) && s.isOperator(s.text[s.at]) {
		if s.at > from && (strings.HasPrefix(s.text[s.at:], "--") || strings.HasPrefix(s.text[s.at:], "/*")) {
			return "" // a comment ends it
		}
		s.at++
	}
	before, isAt := strings.CutSuffix(s.text[from:s.at], "@")
	if !isAt || !beginsWord(s.text[s.at:]) || s.kind == postgres && (strings.HasSuffix(before, "<") || strings.HasSuffix(before, "@")) {
		return ""
	}
	begins := s.at
	s.skipWord()
	return s.text[begins:s.at]
}

// skipWord goes past a name or a keyword.
func (s *sqlScanner) skipWord() {
	for s.at < len(s.text) && (isWordByte(s.text[s.at]) || s.text[s.at] == '$') {
		s.at++
	}
}

func beginsWord(s string) bool { return s != "" && isWordByte(s[0]) && (s[0] < '0' || s[0] > '9') }

// isWordByte takes every byte of a character beyond ASCII for a letter, as databases do.
func isWordByte(c byte) bool {
	return c == '_' || c >= utf8.RuneSelf || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// quoted goes past what stands between two quotes; two of them in a row are one within.
func (s *sqlScanner) quoted(quote byte, escapes bool) error {
	for i := s.at + 1; i < len(s.text); i++ {
		switch {
		case escapes && s.text[i] == '\\':
			i++
		case s.text[i] != quote:
		case i+1 < len(s.text) && s.text[i+1] == quote:
			i++
		default:
			s.at = i + 1
			if next, goesOn := continued(s.text[s.at:]); escapes && goesOn {
				s.at += next
				return s.quoted(quote, escapes)
			}
			return nil
		}
	}
	return fmt.Errorf("what %c begins is not closed", quote)
}

// continued reports whether a string goes on: after white space with a line break in it.
func continued(rest string) (at int, goesOn bool) {
	trimmed := strings.TrimLeft(rest, white)
	at = len(rest) - len(trimmed)
	return at, strings.HasPrefix(trimmed, "'") && strings.ContainsAny(rest[:at], "\r\n")
}

// closed goes past the next end, which stands skip bytes on at the earliest.
func (s *sqlScanner) closed(skip int, end, begin string) error {
	i := strings.Index(s.text[s.at+skip:], end)
	if i < 0 {
		return fmt.Errorf("what %s begins is not closed", begin)
	}
	s.at += skip + i + len(end)
	return nil
}

// comment goes past one, with those within it in Postgres.
func (s *sqlScanner) comment() error {
	if s.kind == sqlite {
		return s.closed(2, "*/", "/*")
	}
	depth := 0
	for i := s.at; i < len(s.text); i++ {
		switch {
		case strings.HasPrefix(s.text[i:], "/*"):
			depth, i = depth+1, i+1
		case strings.HasPrefix(s.text[i:], "*/"):
			if depth, i = depth-1, i+1; depth == 0 {
				s.at = i + 1
				return nil
			}
		}
	}
	return errors.New("what /* begins is not closed")
}

// dollar goes past text between dollar quotes, which may have a tag: $tag$…$tag$.
func (s *sqlScanner) dollar() error {
	rest := s.text[s.at+1:]
	if s.kind == sqlite || rest != "" && rest[0] >= '0' && rest[0] <= '9' {
		s.at++
		return noParameter('$')
	}
	tag, _, found := strings.Cut(rest, "$")
	if !found || tag != "" && !beginsWord(tag) || strings.ContainsFunc(tag, func(r rune) bool { return r < utf8.RuneSelf && !isWordByte(byte(r)) }) {
		s.at++ // no quote: the database says what it is
		return nil
	}
	quote := "$" + tag + "$"
	return s.closed(len(quote), quote, quote)
}

// until is s up to and without end, or all of it.
func until(s, end string) string {
	before, _, _ := strings.Cut(s, end)
	return before
}
