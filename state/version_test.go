package state

import "testing"

func TestParseVersion(t *testing.T) {
	for text, want := range map[string]string{
		"1.6.0": "1.6", "1.6.0rc1+cu13": "1.6", "v1.10": "1.10", "2.0b1": "2.0", "1": "", "": "", "latest": "", "1.x": "", "-1.2": "",
	} {
		v, ok := ParseVersion(text)
		if got := v.String(); ok != (want != "") || ok && got != want {
			t.Errorf("ParseVersion(%q) = %s, %v; want %q", text, got, ok, want)
		}
	}
	if !(Version{1, 9}).Before(Version{1, 10}) || (Version{2, 0}).Before(Version{1, 10}) {
		t.Error("versions are compared as texts")
	}
}
