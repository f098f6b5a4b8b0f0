//go:build integration

package ops

import (
	"strings"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/chromedp"

	"dynctl/events"
)

const llama = `document.getElementById('why-model.default.llama-70b')`

func TestPageInABrowser(t *testing.T) {
	b := newBrowser(t)
	b.viewport(1280, 1280, "light")
	b.open("/")
	b.shoot("ops-light.png")
	if got := eval[string](b, "document.title"); !strings.Contains(got, "llama-70b is failing") {
		t.Errorf("title %q", got)
	}
	if got := eval[int](b, "document.querySelectorAll('article[data-word]').length"); got != 5 {
		t.Errorf("%d models are shown, want 5", got)
	}

	t.Run("why a model is not ready is one click away, as often as asked", func(t *testing.T) {
		b.T = t
		for range 2 {
			run(b, chromedp.Click("#summary .bad a"))
			b.wait(llama + ".open && document.activeElement === " + llama + ".querySelector('summary')")
			if !eval[bool](b, "document.getElementById('card-model.default.llama-70b').getBoundingClientRect().top >= 0") {
				t.Error("it is not in sight")
			}
			b.js(llama + ".open = false; scrollTo(0, 0)")
		}
	})

	t.Run("an update keeps what is open, focused and selected", func(t *testing.T) {
		b.T = t
		b.js(llama + ".querySelector('summary').focus(); " + llama + ".querySelector('summary').click()")
		b.js("window.same = " + llama)
		b.change(healed())
		b.wait(`document.getElementById('card-model.default.llama-70b').dataset.word === 'serving'`)
		if !eval[bool](b, llama+".open && window.same === "+llama) {
			t.Error("the open details were closed or replaced")
		}
		if !eval[bool](b, "document.activeElement === "+llama+".querySelector('summary')") {
			t.Error("the focus was lost")
		}
		b.wait(`document.getElementById('announce').textContent.includes('model llama-70b is serving')`)
		if got := eval[string](b, "document.title"); got != "dynctl" {
			t.Errorf("title %q", got)
		}
	})

	followsEvents(t, b)
}

// followsEvents: what happens is shown without a reload, also after the stream was cut.
func followsEvents(t *testing.T, b *browser) {
	t.Run("new events arrive and obey the filter", func(t *testing.T) {
		b.T = t
		run(b, chromedp.Click("#filter-trouble"))
		b.wait(`document.getElementById('shown').textContent === '2 of 9'`)
		b.page.Timeline.Add(happening(20, events.TypeUnitReady, "llama-70b", "x", "OK", ""))
		b.page.Timeline.Add(happening(21, events.TypeAgentLost, "", "2", "AgentLost", "silent <b>bold</b>"))
		b.wait(`document.getElementById('shown').textContent === '3 of 11'`)
		if !eval[bool](b, "document.getElementById('rows').firstElementChild.textContent.includes('<b>bold</b>')") {
			t.Error("the message was not escaped, or the row is not the first")
		}
		if !eval[bool](b, "[...document.getElementById('filter-type').options].some((o) => o.value === 'agent-lost')") {
			t.Error("the new type cannot be chosen")
		}
		if got := eval[string](b, "location.search"); got != "?trouble=1" {
			t.Errorf("the address holds %q", got)
		}
	})

	b.T = t
	b.clean()

	t.Run("the stream comes back by itself", func(t *testing.T) {
		b.T = t
		b.js("window.said = []; new MutationObserver(() => said.push(document.getElementById('announce').textContent)).observe(document.getElementById('announce'), {childList: true})")
		b.server.CloseClientConnections()
		b.page.Timeline.Add(happening(22, events.TypeAgentConnected, "", "3", "AgentConnected", ""))
		in := healed()
		in.Leader = Leader{Known: true, Holder: "ops-2", Epoch: 5, Since: noon}
		b.change(in)
		b.wait(`document.getElementById('summary').textContent.includes('stands by')`)
		b.wait(`document.getElementById('shown').textContent === '3 of 12'`)
		b.wait(`said.some((s) => s.startsWith('Connection lost')) && said.includes('Connected again')`)
	})
}

func TestLogsAreOneClickAway(t *testing.T) {
	b := newBrowser(t)
	b.viewport(1280, 1000, "light")
	const unit = "default/5e6f7a8b_llama_70b_DP0"
	for _, tc := range []struct{ name, open, link, want string }{
		{"of a last exit", "/#why-model.default.llama-70b", "#why-model\\.default\\.llama-70b .exit a", "the log of " + unit + " dynamo_default_5e6f7a8b_Dynamo_DP0, previous="},
		{"of a unit", "/", "#units tr:nth-child(2) td[data-label=Logs] a", "the log of " + unit + " dynamo_default_5e6f7a8b_Dynamo_DP0, previous="},
		{"of the attempt before", "/", "#units tr:nth-child(2) td[data-label=Logs] a:nth-of-type(2)", "the log of " + unit + " dynamo_default_5e6f7a8b_Dynamo_DP0, previous=1"},
		{"of etcd", "/", "#units tr:nth-child(1) td[data-label=Logs] a", "the log of default/infra dynamo_default_00c0ffee_Dynamo_ETCD, previous="},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b.T = t
			b.open(tc.open)
			run(b, chromedp.Click(tc.link))
			run(b, chromedp.WaitVisible("body > pre")) // Chromium's frame around plain text
			if got := eval[string](b, "document.body.textContent"); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
	b.T = t
	b.clean()
}

func TestPageOnAPhoneAndInTheDark(t *testing.T) {
	b := newBrowser(t)
	b.viewport(360, 740, "light")
	b.open("/")
	for _, details := range []string{"", "document.querySelectorAll('details').forEach((d) => { d.open = true })"} {
		b.js(details + "")
		if got := eval[float64](b, "document.documentElement.scrollWidth"); got > 360 {
			t.Errorf("the page is %v pixels wide on a phone of 360; too wide: %v", got,
				eval[[]string](b, "[...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > 361).map((e) => e.outerHTML.slice(0, 120))"))
		}
	}
	if bad := eval[[]string](b, misplaced); len(bad) > 0 {
		t.Errorf("what stands among the labels of the cells: %q", bad)
	}
	b.checkTree() // a table that is drawn as a list still is one
	b.js("document.querySelectorAll('details').forEach((d) => { d.open = false })")
	b.shoot("ops-phone.png")
	light := eval[string](b, "getComputedStyle(document.body).backgroundColor")
	b.viewport(1280, 1280, "dark")
	if dark := eval[string](b, "getComputedStyle(document.body).backgroundColor"); dark == light {
		t.Errorf("dark is as light: %s", dark)
	}
	b.js(llama + ".open = true; document.getElementById('card-server.default').scrollIntoView()")
	b.shoot("ops-dark.png")
	for _, scheme := range []string{"light", "dark"} {
		b.viewport(1280, 1000, scheme)
		if bad := eval[[]string](b, contrast); len(bad) > 0 {
			t.Errorf("%s: too little contrast: %q", scheme, bad)
		}
	}
	b.clean()
}

// contrast lists the texts whose contrast with their background is below 4.5:1.
const contrast = `(() => {
  const rgb = (s) => { const [r, g, b, a = 1] = s.match(/[\d.]+/g).map(Number); return {r, g, b, a}; };
  const light = ({r, g, b}) => [r, g, b].map((v) => v / 255).map((v) => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
  const behind = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.a === 1) return c; } return rgb('rgb(255,255,255)'); };
  const out = new Set();
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n; (n = walk.nextNode());) {
    const e = n.parentElement;
    if (!n.nodeValue.trim() || e.closest('.sr, .skip, [hidden], script, noscript, svg') || !e.getClientRects().length) continue;
    const a = light(rgb(getComputedStyle(e).color)), b = light(behind(e));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) out.add(ratio.toFixed(2) + ' ' + e.className + ' ' + n.nodeValue.trim().slice(0, 30));
  }
  return [...out];
})()`

// misplaced lists the texts of cells that stand in the column of their labels.
const misplaced = `[...document.querySelectorAll('#units td[data-label]')].flatMap((td) => {
  const out = [], edge = td.getBoundingClientRect().left + 60, walk = document.createTreeWalker(td, NodeFilter.SHOW_TEXT), range = document.createRange();
  for (let n; (n = walk.nextNode());) {
    range.selectNodeContents(n);
    if (n.nodeValue.trim() && !n.parentElement.closest('.sr') && range.getBoundingClientRect().left < edge) out.push(td.dataset.label + ': ' + n.nodeValue.trim());
  }
  return out;
})`

func TestPageByKeyboardAndForScreenReaders(t *testing.T) {
	b := newBrowser(t)
	b.viewport(1280, 1000, "light")
	b.open("/")
	b.js("document.querySelectorAll('details').forEach((d) => { d.open = true })")
	reached := b.tabThrough()
	var missed []string
	for _, e := range eval[[]string](b, interactive) {
		if !reached[e] {
			missed = append(missed, e)
		}
	}
	if len(missed) > 0 {
		t.Errorf("not reached by Tab: %q", missed)
	}
	b.checkTree()
	if bad := eval[[]string](b, headings); len(bad) > 0 {
		t.Errorf("headings skip a level: %q", bad)
	}
	if twice := eval[[]string](b, "[...document.querySelectorAll('[id]')].map((e) => e.id).filter((id, i, all) => all.indexOf(id) !== i)"); len(twice) > 0 {
		t.Errorf("ids that stand twice: %q", twice)
	}
	b.clean()
}

const (
	numbered    = `document.querySelectorAll('a[href], button, select, input, summary, [tabindex="0"]').forEach((e, i) => { e.dataset.stop = String(i) })`
	interactive = `[...document.querySelectorAll('[data-stop]')].filter((e) => e.checkVisibility()).map((e) => e.dataset.stop + ' ' + e.nodeName + ' ' + e.textContent.trim().slice(0, 40))`
	focused     = `(() => { const e = document.activeElement; return e.dataset.stop === undefined ? '' : e.dataset.stop + ' ' + e.nodeName + ' ' + e.textContent.trim().slice(0, 40) })()`
	headings    = `(() => { let last = 0; const bad = []; for (const h of document.querySelectorAll('h1,h2,h3,h4,h5,h6')) { const n = Number(h.nodeName[1]); if (n > last + 1) bad.push(h.textContent.trim()); last = n; } return bad })()`
)

// tabThrough presses Tab until the focus leaves the page.
func (b *browser) tabThrough() map[string]bool {
	b.Helper()
	b.js(numbered)
	reached := map[string]bool{}
	for range 400 {
		run(b, chromedp.KeyEvent("\t"))
		at := eval[string](b, focused)
		if at == "" || reached[at] {
			break
		}
		reached[at] = true
	}
	return reached
}

// checkTree looks at the page as assistive technology does.
func (b *browser) checkTree() {
	b.Helper()
	nodes := call(b, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{}).Nodes
	text := func(v *accessibility.Value) string {
		if v == nil {
			return ""
		}
		return strings.Trim(string(v.Value), `"`)
	}
	roles := map[string]int{}
	nameless := map[string]bool{"link": true, "button": true, "combobox": true, "checkbox": true, "region": true, "article": true, "heading": true, "form": true, "table": true, "navigation": true}
	for _, n := range nodes {
		if n.Ignored {
			continue
		}
		role := text(n.Role)
		roles[role]++
		if nameless[role] && strings.TrimSpace(text(n.Name)) == "" {
			b.Errorf("a %s has no name", role)
		}
	}
	for role, least := range map[string]int{"banner": 1, "navigation": 1, "main": 1, "contentinfo": 1, "status": 2, "region": 6, "article": 8, "table": 1, "rowheader": 7, "columnheader": 7, "form": 1} {
		if roles[role] < least {
			b.Errorf("%d of role %s, want %d at least; there are %v", roles[role], role, least, roles)
		}
	}
}
