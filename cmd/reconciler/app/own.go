package app

import (
	"time"

	"dynctl/state/kv"
)

// ownRound bounds how long after it the next round is made where nothing is new but what
// this process has written itself. Such a round concludes little that this one has not; it
// would only be in the way of what comes meanwhile, and every change has several of them.
const ownRound = 50 * time.Millisecond

// putOff says how long the round that was asked for is put off; zero: it is due. Whatever
// has changed counts in it all the same, and a timer that is due before stays.
func (l *loop) putOff() time.Duration {
	if len(l.again) > 0 || !l.isOwn() {
		return 0
	}
	if own := time.Now().Add(ownRound); own.Before(l.next) {
		l.next = own
	}
	return max(time.Until(l.next), time.Millisecond)
}

// isOwn reports whether statuses are all that has changed since the last round read the
// views, and all of these are what this process has written.
func (l *loop) isOwn() bool {
	was, news := l.quiet.news, l.app.views.News()
	if news == was || !news.StatusesAlone(was) {
		return false
	}
	view, loaded := l.app.views.Statuses()
	return loaded && l.inForce.differsOnlyBy(view, l.isOwnStatus)
}

// isOwnStatus reports whether a status that has come back is the one that was written. One
// that is still on its way can be no other: else it is refused, and that asks for a round.
func (l *loop) isOwnStatus(s kv.Stored) bool {
	if l.writes.under[s.Key] != nil {
		return true
	}
	w, written := l.written[s.Key]
	return written && !s.Rewrite && s.Object.Kind != "" && s.Status.Revision == w.Revision
}
