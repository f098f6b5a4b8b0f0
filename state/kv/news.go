package kv

import "reflect"

// News tells one state of what the views show from another: as long as it is the same,
// nothing has changed but the time of the agent's heartbeat.
type News struct{ specs, statuses, observed uint64 }

// News is that of what the views show now.
func (v *Views) News() News {
	return News{v.specs.currentNews(), v.statuses.currentNews(), v.observed.currentNews()}
}

// changed notes that what the views show is another; m.mu is held.
func (m *mirror[T]) changed() {
	m.version++
	m.news = m.version
}

// replace puts an entry that has arrived in the place of the one before; m.mu is held.
func (m *mirror[T]) replace(it item[T]) {
	old := m.items[it.key]
	m.trim(&it, old, &m.kept)
	m.items[it.key] = it
	if m.cfg.beat != nil && m.cfg.beat(old, it) {
		m.version++
		return
	}
	m.changed()
}

func (m *mirror[T]) currentNews() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.news
}

// one is a copy of one item, with what a snapshot says besides.
func (m *mirror[T]) one(key string) (it item[T], synced bool, version, news uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.items[key], m.synced, m.version, m.news
}

// isBeat reports whether an agent says what it said, at another time.
func isBeat(old, it item[observation]) bool {
	if it.key != keyAgent || it.err != nil || old.err != nil || it.deleted || old.deleted || it.val.agent == nil || old.val.agent == nil {
		return false
	}
	was := *old.val.agent
	was.At = it.val.agent.At
	return reflect.DeepEqual(was, *it.val.agent)
}
