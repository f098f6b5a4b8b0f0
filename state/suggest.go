package state

import "strings"

// didYouMean is ", did you mean X?" for the allowed word that is nearest to s, or
// nothing when none is near.
func didYouMean(s string, allowed []string) string {
	if best := Nearest(s, allowed); best != "" {
		return "; did you mean " + best + "?"
	}
	return ""
}

// Nearest is the allowed word that s was most likely meant to be: the one with
// the fewest edits, at most a third of its length; empty when none is near.
func Nearest(s string, allowed []string) string {
	if len(s) > 4*MaxNameLength {
		return ""
	}
	folded := foldName(s)
	best, bestEdits := "", -1
	for _, word := range allowed {
		n := edits(folded, foldName(word))
		if limit := max(1, len(word)/3); n <= limit && (bestEdits < 0 || n < bestEdits) {
			best, bestEdits = word, n
		}
	}
	return best
}

// foldName takes off what people spell differently: case, "_" and "-".
func foldName(s string) string {
	return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(s))
}

// edits counts the insertions, deletions, replacements and swaps of neighbours
// that turn a into b.
func edits(a, b string) int {
	x, y := []rune(a), []rune(b)
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			cost := 1
			if x[i-1] == y[j-1] {
				cost = 0
			}
			n := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				n = min(n, rows[i-2][j-2]+1)
			}
			rows[i][j] = n
		}
	}
	return rows[len(x)][len(y)]
}
