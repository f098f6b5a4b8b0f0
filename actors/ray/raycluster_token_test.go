package ray

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	rayv1 "github.com/ray-project/kuberay/ray-operator/apis/ray/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"dynctl/actors"
)

// The token comes from the Secret that KubeRay gives the pods.
func TestTokenOfTheSecret(t *testing.T) {
	token, off := rayv1.AuthOptions{Mode: rayv1.AuthModeToken}, false
	named, long := "shared", "a-team-whose-names-are-long-and-number-9-of-its-clusters-in-production"
	tests := []struct {
		name    string
		cluster string
		auth    *rayv1.AuthOptions
		secret  *corev1.Secret
		env     string
		want    string // empty: none
		from    string
		reason  string
	}{
		{name: "no authentication", cluster: "prod", secret: secret("prod", "t")},
		{name: "disabled", cluster: "prod", auth: &rayv1.AuthOptions{Mode: rayv1.AuthModeDisabled}, secret: secret("prod", "t")},
		{name: "no mode: KubeRay turns nothing on", cluster: "prod", auth: &rayv1.AuthOptions{}, secret: secret("prod", "t")},
		{name: "named as the cluster", cluster: "prod", auth: &token, secret: secret("prod", "t"), want: "t", from: "Secret ml/prod"},
		{name: "a line end", cluster: "prod", auth: &token, secret: secret("prod", "t\n"), want: "t", from: "Secret ml/prod"},
		{name: "a Secret of one's own", cluster: "prod", auth: &rayv1.AuthOptions{Mode: "token", SecretName: &named, EnableK8sTokenAuth: &off}, secret: secret(named, "s"), want: "s", from: "Secret ml/shared"},
		{name: "a long name: its end", cluster: long, auth: &token, secret: secret(long[len(long)-50:], "l"), want: "l", from: "Secret ml/" + long[len(long)-50:]},
		{name: "a long name whose end begins with a dash", cluster: "-" + strings.Repeat("b", 49), auth: &token, secret: secret("r"+strings.Repeat("b", 49), "d"), want: "d"},
		{name: "a name that begins with a digit", cluster: "1st", auth: &token, secret: secret("rst", "d"), want: "d"},
		{name: "no Secret", cluster: "prod", auth: &token, secret: secret("other", "t"), reason: actors.RayTokenMissing},
		{name: "another key", cluster: "prod", auth: &token, secret: &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ml", Name: "prod"},
			Data: map[string][]byte{"token": []byte("t")}}, reason: actors.RayTokenMissing},
		{name: "empty", cluster: "prod", auth: &token, secret: secret("prod", " \n"), reason: actors.RayTokenMissing},
		{name: "no Secret, and one in the environment", cluster: "prod", auth: &token, secret: secret("other", "t"), env: "e", want: "e", from: "RAY_AUTH_TOKEN"},
		{name: "both", cluster: "prod", auth: &token, secret: secret("prod", "t"), env: "e", want: "t"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			kube := newFakeKube(t, cluster(test.cluster, func(c *rayv1.RayCluster) { c.Spec.AuthOptions = test.auth }), test.secret).kube()
			kube.Token = test.env
			e, err := NewRayCluster(kube, Target{Namespace: "ml", Cluster: test.cluster}).Endpoint(t.Context())
			reason, text := troubleIn(err)
			if e.Token != test.want || reason != test.reason || test.from != "" && e.TokenFrom != test.from {
				t.Errorf("got %+v, %v", e, err)
			}
			if test.reason != "" && (!errors.Is(err, ErrUnauthorized) || !strings.Contains(text, "ml/prod") || !strings.Contains(text, "auth_token") && test.name != "empty") {
				t.Errorf("says %v", err)
			}
		})
	}
}

// A Secret that comes, is rotated, moves and goes is followed.
func TestTokenIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeKube(t, cluster("prod", auth(rayv1.AuthOptions{Mode: rayv1.AuthModeToken})))
		r := NewRayCluster(f.kube(), prod)
		told := follow(t, r)
		secrets := f.secrets.Secrets("ml")
		check := func(what, want string) {
			t.Helper()
			if !told() {
				t.Errorf("%s: nobody was told", what)
			}
			e, err := r.Endpoint(t.Context())
			if reason, _ := troubleIn(err); e.Token != want || (want == "") != (reason == actors.RayTokenMissing) {
				t.Errorf("%s: %+v, %v", what, e, err)
			}
		}
		check("none", "")
		_, err := secrets.Create(t.Context(), secret("prod", "one"), metav1.CreateOptions{})
		check("created", "one")
		_, err2 := secrets.Update(t.Context(), secret("prod", "two"), metav1.UpdateOptions{})
		check("rotated", "two")
		name := "shared"
		_, err3 := secrets.Create(t.Context(), secret(name, "three"), metav1.CreateOptions{})
		_, err4 := f.rays.RayV1().RayClusters("ml").Update(t.Context(), cluster("prod", auth(rayv1.AuthOptions{Mode: rayv1.AuthModeToken, SecretName: &name})), metav1.UpdateOptions{})
		check("another Secret", "three")
		_, err5 := secrets.Update(t.Context(), secret("prod", "four"), metav1.UpdateOptions{})
		if told() {
			t.Error("the Secret that counts no more was followed")
		}
		err6 := secrets.Delete(t.Context(), name, metav1.DeleteOptions{})
		check("deleted", "")
		if err := errors.Join(err, err2, err3, err4, err5, err6); err != nil {
			t.Fatal(err)
		}
	})
}

// With enableK8sTokenAuth the account's own token counts, as it is now.
func TestTokenOfTheAccount(t *testing.T) {
	on := true
	kube := newFakeKube(t, cluster("prod", auth(rayv1.AuthOptions{Mode: rayv1.AuthModeToken, EnableK8sTokenAuth: &on})), secret("prod", "not this")).kube()
	file := filepath.Join(t.TempDir(), "token")
	kube.Bearer = bearerOf(&rest.Config{BearerTokenFile: file})
	r := NewRayCluster(kube, prod)
	_, err := r.Endpoint(t.Context())
	if reason, text := troubleIn(err); reason != actors.RayTokenMissing || !strings.Contains(text, "ray:write") {
		t.Errorf("no file: %v", err)
	}
	for _, token := range []string{"first", "rotated"} {
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if e, err := r.Endpoint(t.Context()); e.Token != token || err != nil {
			t.Errorf("got %+v, %v", e, err)
		}
	}
	for name, bearer := range map[string]func() (string, error){"a certificate": bearerOf(&rest.Config{}), "none": nil} {
		kube.Bearer = bearer
		if _, err := NewRayCluster(kube, prod).Endpoint(t.Context()); !errors.Is(err, ErrUnauthorized) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
