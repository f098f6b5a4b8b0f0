package simray

import (
	"context"
	"sync"
	"time"
)

// queue runs functions one after the other, so that what they touch needs no lock.
// Posting never blocks.
type queue struct {
	mu   sync.Mutex
	work []func()
	wake chan struct{}
}

func newQueue() *queue { return &queue{wake: make(chan struct{}, 1)} }

func (q *queue) post(f func()) {
	q.mu.Lock()
	q.work = append(q.work, f)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// after posts f when d is over; at once where d is 0.
func (q *queue) after(d time.Duration, f func()) {
	if d <= 0 {
		q.post(f)
		return
	}
	time.AfterFunc(d, func() { q.post(f) })
}

func (q *queue) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.wake:
		}
		for ctx.Err() == nil {
			q.mu.Lock()
			work := q.work
			q.work = nil
			q.mu.Unlock()
			if len(work) == 0 {
				break
			}
			for _, f := range work {
				f()
			}
		}
	}
}
