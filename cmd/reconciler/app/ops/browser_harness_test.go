//go:build integration

package ops

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// screenshots is where the pictures of the documentation are; they are written
// when the environment variable says so.
const (
	screenshots    = "../../../../docs/img"
	screenshotsEnv = "DYNCTL_SCREENSHOTS"
)

// browser is a page of the fixture in a Chromium of its own.
type browser struct {
	*testing.T
	ctx  context.Context
	page *Page
	src  *source
	url  string

	server *httptest.Server

	mu sync.Mutex
	// console holds errors and warnings, requests every address that was asked for.
	console, requests []string
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	path := chromiumPath(t)
	was := noon
	noon = time.Now().UTC() // the script says how long ago
	t.Cleanup(func() { noon = was })
	b := &browser{T: t}
	b.page, b.src = newTestPage(t)
	mux := http.NewServeMux()
	b.page.Routes(mux)
	// The owner of the page serves the logs that it links to.
	mux.HandleFunc("GET /logs/{server}/{unit}/{actor}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintf(w, "the log of %s/%s %s, previous=%s", r.PathValue("server"), r.PathValue("unit"), r.PathValue("actor"), r.URL.Query().Get("previous"))
	})
	b.server = httptest.NewServer(mux)
	b.url = b.server.URL
	t.Cleanup(func() { b.server.CloseClientConnections(); b.server.Close() })
	// Its profile is chromedp's own, which removes it when the last of its processes is gone.
	allocated, cancelAllocator := chromedp.NewExecAllocator(context.Background(), chromedp.ExecPath(path), chromedp.Headless,
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.WindowSize(1280, 900))
	bounded, cancelTimeout := context.WithTimeout(allocated, 2*time.Minute)
	b.ctx, _ = chromedp.NewContext(bounded)
	t.Cleanup(func() {
		if err := chromedp.Cancel(b.ctx); err != nil {
			t.Logf("closing Chromium: %v", err)
		}
		cancelTimeout()
		cancelAllocator()
	})
	if err := chromedp.Listen(b.ctx, b.listen); err != nil {
		t.Fatal(err)
	}
	call(b, network.Enable, network.EnableParams{})
	call(b, log.Enable, cdp.Empty{})
	return b
}

// chromiumPath finds a Chromium under the names that distributions give it; those
// of the target chromium in the Makefile.
func chromiumPath(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatal("no Chromium: run `make chromium`, or apt-get install chromium")
	return ""
}

func (b *browser) listen(ev any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch ev := ev.(type) {
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, ev.Request.URL)
	case *log.EventEntryAdded:
		b.console = append(b.console, fmt.Sprint(ev.Entry.Level, " ", ev.Entry.Text, " ", ev.Entry.URL))
	case *runtime.EventConsoleAPICalled:
		b.console = append(b.console, ev.Type.String())
	case *runtime.EventExceptionThrown:
		b.console = append(b.console, ev.ExceptionDetails.Text)
	}
}

// call runs a command of the protocol.
func call[P, R any](b *browser, command cdp.Command[P, R], params P) R {
	b.Helper()
	v, err := chromedp.Call(b.ctx, command, params)
	if err != nil {
		b.Fatalf("%s: %v", command.Method, err)
	}
	return v
}

// run is the value of an action.
func run[T any](b *browser, action chromedp.Action[T]) T {
	b.Helper()
	v, err := chromedp.Run(b.ctx, action)
	if err != nil {
		b.Fatal(err)
	}
	return v
}

// eval is the value of an expression in the page.
func eval[T any](b *browser, expression string) T {
	b.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.Fatalf("%s: %v", expression, err)
	}
	return v
}

// js runs statements in the page.
func (b *browser) js(statements string) {
	b.Helper()
	eval[int](b, statements+";0")
}

// open loads the page and waits until its stream is open.
func (b *browser) open(path string) {
	b.Helper()
	run(b, chromedp.Navigate(b.url+path))
	b.wait(`document.getElementById('live').dataset.state === 'on'`)
}

// wait waits for an expression to become true.
func (b *browser) wait(expression string) {
	b.Helper()
	if _, err := chromedp.Run(b.ctx, chromedp.Poll[bool](expression, chromedp.WithPollingTimeout(10*time.Second))); err != nil {
		b.Fatalf("%s does not become true: %v", expression, err)
	}
}

// change shows another input.
func (b *browser) change(in Input) {
	b.src.set(in)
	b.page.Changed()
}

func (b *browser) viewport(width, height int64, scheme string) {
	b.Helper()
	call(b, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1, Mobile: width < 700})
	call(b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
	}})
}

// shoot keeps a picture for the documentation.
func (b *browser) shoot(name string) {
	b.Helper()
	if os.Getenv(screenshotsEnv) == "" {
		return
	}
	picture, err := png.Decode(bytes.NewReader(run(b, chromedp.CaptureScreenshot())))
	if err != nil {
		b.Fatal(err)
	}
	var small bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&small, paletted(picture)); err != nil {
		b.Fatal(err)
	}
	if err := os.MkdirAll(screenshots, 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(screenshots, name), small.Bytes(), 0o644); err != nil {
		b.Fatal(err)
	}
}

// paletted is a picture in its 256 most frequent colours, which makes it a third
// as large.
func paletted(picture image.Image) image.Image {
	counts := map[color.RGBA]int{}
	bounds := picture.Bounds()
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			counts[color.RGBAModel.Convert(picture.At(x, y)).(color.RGBA)]++
		}
	}
	frequent := slices.SortedFunc(maps.Keys(counts), func(a, b color.RGBA) int { return counts[b] - counts[a] })
	palette := color.Palette{}
	for _, c := range frequent[:min(256, len(frequent))] {
		palette = append(palette, c)
	}
	nearest := map[color.RGBA]uint8{}
	for _, c := range frequent {
		nearest[c] = uint8(palette.Index(c))
	}
	out := image.NewPaletted(bounds, palette)
	for y := bounds.Min.Y; y < bounds.Max.Y; y++ {
		for x := bounds.Min.X; x < bounds.Max.X; x++ {
			out.SetColorIndex(x, y, nearest[color.RGBAModel.Convert(picture.At(x, y)).(color.RGBA)])
		}
	}
	return out
}

// clean fails if the page complained or asked anybody else for anything.
func (b *browser) clean() {
	b.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.console) > 0 {
		b.Errorf("the console is not empty: %q", b.console)
	}
	for _, r := range b.requests {
		if !strings.HasPrefix(r, b.url+"/") && !strings.HasPrefix(r, "data:") {
			b.Errorf("the page asked for %s", r)
		}
	}
	if len(b.requests) < 4 {
		b.Errorf("only %q were asked for: nothing was recorded", b.requests)
	}
}
