package kv

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
)

// NATS leaves keys out of what it sends first, the newest entry of each: a message for which
// no request has room is taken from its list, put back where only other consumers find it,
// and counted as pending for ever (nats-server 2.15, consumer.go, loopAndGatherMsgs). Room is
// pullBytes, so it does not befall a bucket that is smaller. Without a bound on the bytes it
// would not either, but a few hundred values of 8 MB are more than this program may hold.

// unstall asks for what lacks where a load has begun and nothing of it has come since the last
// call, and reports whether it is complete.
func (s *session[T]) unstall(ctx context.Context) (loaded bool, err error) {
	s.m.mu.Lock()
	loaded, count := s.loaded, s.count
	s.m.mu.Unlock()
	if loaded {
		return true, nil
	}
	if count == 0 || count != s.arrived {
		s.arrived = count
		return false, nil
	}
	return false, s.ask(ctx)
}

// ask asks for each key that was there when the session began and has not arrived. What was
// written since comes by itself.
func (s *session[T]) ask(ctx context.Context) error {
	m := s.m
	stream, err := openStream(ctx, m.js, m.cfg.bucket)
	if err != nil {
		return err
	}
	keys, err := keysOf(ctx, stream, m.cfg.bucket)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if s.has(key) {
			continue
		}
		e, err := lastWithin(ctx, stream, m.cfg.bucket, key)
		if isNotFound(err) || err == nil && e.rev > s.target {
			continue
		}
		if err != nil {
			return err
		}
		if s.take(e) {
			return nil
		}
	}
	return nil
}

// has reports whether a key needs no asking for.
func (s *session[T]) has(key string) bool {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	_, ok := s.fresh[key]
	return ok || s.loaded
}

// take adds an entry that was asked for, and reports whether the load is complete.
func (s *session[T]) take(e entry) (loaded bool) {
	m := s.m
	it := s.read(&e)
	m.mu.Lock()
	if _, ok := s.fresh[e.key]; ok || s.loaded {
		loaded = s.loaded
		m.mu.Unlock()
		return loaded
	}
	if m.cfg.follow != nil {
		m.cfg.follow.arrived(it)
	}
	s.add(it)
	s.early++
	if s.early >= s.keys {
		s.finish()
	}
	loaded = s.loaded
	m.mu.Unlock()
	if m.cfg.each != nil {
		m.cfg.each(e, true)
	}
	if loaded || m.cfg.each != nil {
		m.cfg.kick()
	}
	return loaded
}

// ask adds what a try has not read of what has to arrive to what it has, in the order of
// the stream.
func (t try) ask(ctx context.Context, s jetstream.Stream, entries []entry) ([]entry, error) {
	bucket := strings.TrimPrefix(s.CachedInfo().Config.Name, streamName(""))
	for subj := range t.missing {
		e, err := lastWithin(ctx, s, bucket, strings.TrimPrefix(subj, subject(bucket, "")))
		if isNotFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		delete(t.missing, subj)
		t.trim(&e)
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.rev, b.rev) })
	return entries, nil
}

// keysOf are the keys of a bucket, deleted ones too.
func keysOf(ctx context.Context, s jetstream.Stream, bucket string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(subject(bucket, ">")))
	if err != nil {
		return nil, err
	}
	keys := make([]string, 0, len(info.State.Subjects))
	for subj := range info.State.Subjects {
		keys = append(keys, strings.TrimPrefix(subj, subject(bucket, "")))
	}
	return keys, nil
}

// lastWithin is lastOf within the time of one request.
func lastWithin(ctx context.Context, s jetstream.Stream, bucket, key string) (entry, error) {
	ctx, cancel := context.WithTimeout(ctx, verifyTimeout)
	defer cancel()
	return lastOf(ctx, s, bucket, key)
}
