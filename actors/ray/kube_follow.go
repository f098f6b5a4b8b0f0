package ray

import (
	"context"
	"time"

	"github.com/cenkalti/backoff/v4"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
)

// kind is one kind of objects in a namespace. L is its list.
type kind[T any, L metav1.ListInterface] struct {
	get   func(ctx context.Context, name string, options metav1.GetOptions) (*T, error)
	list  func(ctx context.Context, options metav1.ListOptions) (L, error)
	watch func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error)
}

// seen is what is known of one object.
type seen[T any] struct {
	known  bool  // there was an answer
	object *T    // nil: there is none of that name
	err    error // why Kubernetes cannot say; then object is nil
}

// look asks for an object once.
func (k kind[T, L]) look(ctx context.Context, name string) seen[T] {
	object, err := k.get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return seen[T]{known: true}
	case err != nil:
		return seen[T]{known: true, err: err}
	}
	return seen[T]{known: true, object: object}
}

// follow tells each change of an object until the context ends.
func (k kind[T, L]) follow(ctx context.Context, name string, tell func(seen[T])) {
	pause := backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(200*time.Millisecond),
		backoff.WithMaxInterval(10*time.Second),
		backoff.WithMaxElapsedTime(0), // never give up
	)
	for ctx.Err() == nil {
		watched, err := k.once(ctx, name, tell)
		if watched { // where only the watch is refused, listing must not go on at full speed
			pause.Reset()
		}
		if err != nil && ctx.Err() == nil {
			tell(seen[T]{known: true, err: err})
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause.NextBackOff()):
		}
	}
}

// once lists the object and watches it until the watch ends. It reports whether there
// was a watch; an error means that the object could not be listed.
func (k kind[T, L]) once(ctx context.Context, name string, tell func(seen[T])) (watched bool, err error) {
	only := metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", name).String()}
	list, err := k.list(ctx, only)
	if err != nil {
		return false, err
	}
	found := seen[T]{known: true}
	err = meta.EachListItem(any(list).(runtime.Object), func(o runtime.Object) error {
		if object, ok := named[T](o, name); ok { // a fake knows no field selectors
			found.object = object
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	tell(found)
	only.ResourceVersion = list.GetResourceVersion()
	w, err := k.watch(ctx, only)
	if err != nil {
		return false, nil //nolint:nilerr // the object was listed, and is again after the pause
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return true, nil
		case event, open := <-w.ResultChan():
			if _, isObject := any(event.Object).(*T); !open || !isObject { // the end of the watch, or an error: list again
				return true, nil
			}
			object, ours := named[T](event.Object, name)
			switch {
			case !ours:
			case event.Type == watch.Deleted:
				tell(seen[T]{known: true})
			default:
				tell(seen[T]{known: true, object: object})
			}
		}
	}
}

// named is the object, if it has this name.
func named[T any](o runtime.Object, name string) (*T, bool) {
	object, ok := any(o).(*T)
	if !ok {
		return nil, false
	}
	about, err := meta.Accessor(o)
	return object, err == nil && about.GetName() == name
}
