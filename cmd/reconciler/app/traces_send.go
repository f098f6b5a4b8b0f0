package app

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"dynctl/cmd/internal/version"
	"dynctl/state"
)

// tracesFlush bounds the end: what a receiver does not take then is lost.
const tracesFlush = 2 * time.Second

// openTraces is nil where nobody asked for traces. The exporter reads the other
// variables of OpenTelemetry by itself: headers, certificates, timeouts.
func openTraces(ctx context.Context, cfg Config, log *slog.Logger) (*traces, error) {
	var options []otlptracehttp.Option
	switch {
	case cfg.OTLPEndpoint != "":
		options = append(options, otlptracehttp.WithEndpointURL(tracesURL(cfg.OTLPEndpoint)))
	case os.Getenv("OTEL_SDK_DISABLED") == "true", os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT")+os.Getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") == "":
		return nil, nil // off is no error, and a nil *traces is one that does nothing
	}
	exporter, err := otlptracehttp.New(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("--otlp-endpoint: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { log.Warn("a trace was not sent", "err", err) }))
	return newTraces(cfg.ID, sdktrace.WithBatcher(exporter)), nil
}

// tracesURL adds what OTLP over HTTP appends to the base of a receiver.
func tracesURL(base string) string {
	u, err := url.Parse(base)
	if err != nil || strings.HasSuffix(u.Path, "/v1/traces") {
		return base
	}
	return u.JoinPath("v1", "traces").String()
}

// newTraces sends to an exporter or, in tests, to a recorder.
func newTraces(id string, to sdktrace.TracerProviderOption) *traces {
	r, err := resource.New(context.Background(), resource.WithAttributes(
		attribute.String("service.name", "dynctl-reconciler"), attribute.String("service.version", version.Get().Version), attribute.String("service.instance.id", id),
	), resource.WithFromEnv())
	if err != nil {
		r = resource.Default() // of variables that cannot be read
	}
	provider := sdktrace.NewTracerProvider(to, sdktrace.WithResource(r), sdktrace.WithIDGenerator(traceIDs{}), sdktrace.WithSampler(sdktrace.AlwaysSample()))
	return &traces{provider: provider, tracer: provider.Tracer("dynctl/reconciler"), journeys: map[state.Key]*journey{}}
}

// close sends what waits. A receiver that is away is no reason to end with an
// error.
func (t *traces) close(ctx context.Context, log *slog.Logger) {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, tracesFlush)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		log.Warn("traces were not sent", "err", err)
	}
}

// traceIDs are the ids of a revision's trace: hashes, so that every reconciler
// gives the same ones. As an id generator it hands out those in the context.
type traceIDs struct {
	trace trace.TraceID
	next  trace.SpanID
}

type traceIDsKey struct{}

func newTraceIDs(store string, key state.Key, revision uint64) traceIDs {
	sum := hashOf(store, key.String(), fmt.Sprint(revision))
	return traceIDs{trace: trace.TraceID(sum[:16])}
}

// span is the id of a span of the trace by its name.
func (ids traceIDs) span(name ...string) trace.SpanID {
	sum := hashOf(append([]string{string(ids.trace[:])}, name...)...)
	return trace.SpanID(sum[:8])
}

func hashOf(parts ...string) [sha256.Size]byte {
	h := sha256.New()
	for _, s := range parts {
		// The length keeps ("ab","c") and ("a","bc") apart.
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s))))
		h.Write([]byte(s))
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// NewIDs implements [sdktrace.IDGenerator].
func (traceIDs) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	ids, _ := ctx.Value(traceIDsKey{}).(traceIDs)
	return ids.trace, ids.next
}

// NewSpanID implements [sdktrace.IDGenerator].
func (traceIDs) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	ids, _ := ctx.Value(traceIDsKey{}).(traceIDs)
	return ids.next
}

// spanOf is a span that is told after it has ended.
type spanOf struct {
	name       string
	id         trace.SpanID
	begin, end time.Time
	attributes []attribute.KeyValue
}

// tell records a span below ctx's and returns the context for those below it.
func (t *traces) tell(ctx context.Context, ids traceIDs, s spanOf) context.Context {
	ids.next = s.id
	ctx, span := t.tracer.Start(context.WithValue(ctx, traceIDsKey{}, ids), s.name, trace.WithTimestamp(s.begin), trace.WithAttributes(s.attributes...))
	span.End(trace.WithTimestamp(s.end))
	return ctx
}

// send tells a journey: the root from the put until it serves, below it the
// acceptance and the way of each unit that serves. Moments come from several
// clocks; one that lies before its predecessor is taken as that.
func (t *traces) send(key state.Key, j *journey) {
	ids := newTraceIDs(t.store, key, j.revision)
	put := firstOf(j.put, j.accepted)
	accepted := latest(put, j.accepted)
	end := accepted
	var units []string
	for _, unit := range slices.Sorted(maps.Keys(j.legs)) {
		if l := j.legs[unit]; !l.ready.IsZero() {
			put, accepted = firstOf(put, l.published), firstOf(accepted, l.published)
			end = latest(end, l.ready)
			units = append(units, unit)
		}
	}
	ctx := t.tell(context.Background(), ids, spanOf{"serve model", ids.span("root"), put, end, []attribute.KeyValue{
		attribute.String("dynctl.server", key.Server), attribute.String("dynctl.model", key.Name),
		attribute.String("dynctl.cause_id", fmt.Sprintf("%s@%d", key, j.revision)), attribute.Int64("dynctl.spec_revision", int64(j.revision)),
	}})
	t.tell(ctx, ids, spanOf{name: "accept", id: ids.span("accept"), begin: put, end: accepted})
	for _, unit := range units {
		t.sendLeg(ctx, ids, unit, accepted, j.legs[unit])
	}
}

func (t *traces) sendLeg(ctx context.Context, ids traceIDs, unit string, from time.Time, l *leg) {
	stages := []struct {
		name string
		end  time.Time
	}{{"publish", l.published}, {"place", l.placed}, {"execute", l.executed}, {"register", l.registered}, {"list", l.ready}}
	end := from
	for i := range stages {
		end = latest(end, stages[i].end)
	}
	ctx = t.tell(ctx, ids, spanOf{"start unit", ids.span(unit), from, end, []attribute.KeyValue{
		attribute.String("dynctl.unit", unit), attribute.String("dynctl.role", l.role),
		attribute.String("dynctl.reason", l.reason), attribute.Int("dynctl.attempt", l.attempt),
	}})
	for _, s := range stages {
		if s.end.IsZero() {
			continue // not seen: the next one takes its time too
		}
		until := latest(from, s.end)
		t.tell(ctx, ids, spanOf{name: s.name, id: ids.span(unit, s.name), begin: from, end: until})
		from = until
	}
}

func firstOf(a, b time.Time) time.Time {
	if a.IsZero() {
		return b
	}
	return a
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
