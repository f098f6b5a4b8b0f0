'use strict';
// The page works without this. With it, sections are patched in place as they
// change, new events arrive, times say how long ago, and commands can be copied.
{
  const root = document.documentElement;
  const by = (id) => document.getElementById(id);
  const live = by('live'), rows = by('rows'), filter = by('filter'), timeline = by('timeline');
  const maxRows = 300;
  root.classList.add('js');

  // patch makes the children of old those of fresh, changing only what differs:
  // focus, selection, scrolling and open details stay as they are.
  const kept = new Set(['open', 'data-ago']);
  const alike = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && a.id === b.id;
  const patch = (old, fresh) => {
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
      return;
    }
    for (const {name} of [...old.attributes]) if (!fresh.hasAttribute(name) && !kept.has(name)) old.removeAttribute(name);
    for (const {name, value} of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    let at = old.firstChild;
    for (const want of [...fresh.childNodes]) {
      let have = at;
      if (want.id) while (have && have.id !== want.id) have = have.nextSibling;
      else if (have && !alike(have, want)) have = null;
      if (have && alike(have, want)) {
        while (at !== have) { const next = at.nextSibling; at.remove(); at = next; }
        at = have.nextSibling;
        patch(have, want);
      } else {
        old.insertBefore(want, at);
      }
    }
    while (at) { const next = at.nextSibling; at.remove(); at = next; }
  };
  const parse = (html) => {
    const t = document.createElement('template');
    t.innerHTML = html.trim();
    return t.content.firstElementChild;
  };

  // words are the verdicts, to say aloud what has changed.
  const words = () => new Map([...document.querySelectorAll('[data-word]')].map((e) => [e.dataset.name, e.dataset.word]));
  let saying = 0;
  const say = (text) => {
    clearTimeout(saying);
    by('announce').textContent = '';
    saying = setTimeout(() => { by('announce').textContent = text; }, 50);
  };
  const swap = (id, html) => {
    const old = by(id), fresh = parse(html);
    if (!old || !fresh) return;
    const before = words();
    patch(old, fresh);
    const news = [...words()].filter(([name, word]) => before.get(name) !== word).map(([name, word]) => `${name} is ${word}`);
    if (news.length) say(news.join(', '));
    const bad = [...document.querySelectorAll('#summary .bad a, #summary .warn a')].map((e) => e.firstChild.nodeValue);
    document.title = bad.length ? `${bad.join(', ')} - dynctl` : 'dynctl';
    ages();
  };

  // ages say how long ago, or how soon, each absolute time is.
  const span = (s) => s < 90 ? `${Math.round(s)} s` : s < 5400 ? `${Math.round(s / 60)} min` : s < 129600 ? `${Math.round(s / 3600)} h` : `${Math.round(s / 86400)} d`;
  const ages = () => {
    const now = Date.now();
    for (const t of document.querySelectorAll('main section:not(#timeline) time')) {
      const s = (now - Date.parse(t.dateTime)) / 1000;
      const text = s >= 0 ? `${span(s)} ago` : `in ${span(-s)}`;
      if (t.dataset.ago !== text) t.dataset.ago = text;
    }
  };
  setInterval(ages, 1000);
  ages();

  const fits = (row) => {
    const f = new FormData(filter);
    return (!f.get('type') || f.get('type') === row.dataset.type) && (!f.get('model') || f.get('model') === row.dataset.model) && (!f.get('trouble') || row.dataset.trouble === '1');
  };
  const count = () => {
    const shown = [...rows.children].filter((r) => !r.hidden).length;
    by('shown').textContent = `${shown} of ${rows.children.length}`;
    by('norows').hidden = shown > 0;
  };
  const offer = (select, value) => {
    if (value && ![...select.options].some((o) => o.value === value)) select.add(new Option(value, value));
  };
  const refilter = () => {
    for (const row of rows.children) row.hidden = !fits(row);
    count();
    const asked = new URLSearchParams([...new FormData(filter)].filter(([, v]) => v));
    history.replaceState(null, '', asked.size ? `/?${asked}#timeline` : location.pathname + location.hash);
  };
  filter.addEventListener('change', refilter);
  filter.addEventListener('submit', (e) => { e.preventDefault(); refilter(); });
  const arrive = (news) => {
    const box = by('scroll'), above = box.scrollTop, height = box.scrollHeight;
    if (news.reset) rows.replaceChildren();
    for (const html of news.rows) {
      const row = parse(html);
      row.hidden = !fits(row);
      if (!news.reset) row.classList.add('new');
      offer(by('filter-type'), row.dataset.type);
      offer(by('filter-model'), row.dataset.model);
      rows.prepend(row);
    }
    while (rows.children.length > maxRows) rows.lastElementChild.remove();
    // Who has scrolled down to read keeps what is being read in place.
    if (above > 0) box.scrollTop = above + box.scrollHeight - height;
    count();
  };

  // fallback for pages that are not from localhost or https
  const select = (button) => {
    const range = document.createRange();
    range.selectNodeContents(button.parentElement.querySelector('code'));
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    return document.execCommand('copy');
  };
  document.addEventListener('click', async (e) => {
    const button = e.target.closest?.('.copy');
    if (!button) return;
    let done = false;
    try { await navigator.clipboard.writeText(button.dataset.copy); done = true; } catch { done = select(button); }
    say(done ? 'Copied' : 'Not copied: select the text');
    const label = button.firstChild;
    label.nodeValue = done ? 'Copied' : 'Select';
    setTimeout(() => { label.nodeValue = 'Copy'; }, 1500);
  });

  // An address such as /#why-model.default.qwen opens those details.
  const open = () => {
    const target = by(decodeURIComponent(location.hash.slice(1)));
    if (target?.nodeName !== 'DETAILS') return;
    target.open = true;
    target.closest('article, section').scrollIntoView();
    target.querySelector('summary').focus({preventScroll: true});
  };
  addEventListener('hashchange', open);
  // The address does not change where it is asked for again.
  document.addEventListener('click', (e) => {
    if (!location.hash || e.target.closest?.('a')?.getAttribute('href') !== location.hash) return;
    if (by(decodeURIComponent(location.hash.slice(1)))?.nodeName !== 'DETAILS') return;
    e.preventDefault(); // or the focus would be taken away
    open();
  });
  open();

  let last = timeline.dataset.last, source = null, retry = 0, lost = false;
  const state = (name, text) => { live.dataset.state = name; live.textContent = text; };
  const connect = () => {
    clearTimeout(retry);
    source = new EventSource(`/events?after=${encodeURIComponent(last)}`);
    source.onopen = () => {
      if (lost) say('Connected again');
      lost = false;
      state('on', 'Live');
    };
    source.addEventListener('section', (e) => { const part = JSON.parse(e.data); swap(part.id, part.html); });
    source.addEventListener('rows', (e) => { last = e.lastEventId || last; arrive(JSON.parse(e.data)); });
    source.onerror = () => {
      if (!lost) say('Connection lost, trying again');
      lost = true;
      state('off', 'Connection lost, trying again');
      // The browser tries again by itself unless the answer was an error.
      if (source.readyState === EventSource.CLOSED) retry = setTimeout(connect, 5000);
    };
  };
  // A browser keeps few connections to one host: pages in the background give theirs back.
  document.addEventListener('visibilitychange', () => {
    clearTimeout(retry);
    source?.close();
    if (document.hidden) state('off', 'Paused'); else connect();
  });
  if (document.hidden) state('off', 'Paused'); else connect();
}
