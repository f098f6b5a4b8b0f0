package state

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ConflictModels returns the first conflict of m with another model of its
// server; others may hold m itself and models of other servers, which are passed
// over. All have their defaults filled in. Actor labels are made from the slug,
// so that models with different slugs never share one.
func ConflictModels(m Model, others []Model) *Invalid {
	slug := Slug(m.Spec.ServedName)
	for _, o := range others {
		if o.Metadata.Server != m.Metadata.Server || o.Metadata.Name == m.Metadata.Name {
			continue
		}
		if o.Spec.ServedName == m.Spec.ServedName {
			return &Invalid{
				Reason: ReasonDuplicateServedName,
				Path:   servedNamePath(m),
				Message: fmt.Sprintf("the served name %q is that of model %s as well; set another spec.servedName",
					m.Spec.ServedName, o.Metadata.Name),
			}
		}
		if Slug(o.Spec.ServedName) == slug {
			return &Invalid{
				Reason: ReasonSlugConflict,
				Path:   servedNamePath(m),
				Message: fmt.Sprintf("%q and %q (model %s) both come to the slug %q, which names their actors; set a spec.servedName that differs in its letters or digits",
					m.Spec.ServedName, o.Spec.ServedName, o.Metadata.Name, slug),
			}
		}
		for _, c := range m.Spec.Components() {
			if slices.Contains(o.Spec.Components(), c) {
				return &Invalid{
					Reason: ReasonEndpointConflict,
					Path:   servedNamePath(m),
					Message: fmt.Sprintf("workers of this model would register as %q, as those of model %s do; set another spec.servedName",
						c, o.Metadata.Name),
				}
			}
		}
	}
	return nil
}

// ModelClaims are what no two models of a server may both claim: models that share
// none do not conflict. The model has its defaults filled in.
func ModelClaims(m Model) []string {
	claims := []string{"slug " + Slug(m.Spec.ServedName)}
	for _, c := range m.Spec.Components() {
		claims = append(claims, "component "+c)
	}
	return claims
}

// ServerClaims are the addresses of a server's external etcd: servers that share
// none do not conflict.
func ServerClaims(s Server) []string { return etcdHosts(s.Spec.Etcd.Endpoint) }

// servedNamePath is the field that a served name comes from.
func servedNamePath(m Model) string {
	if m.Spec.ServedName == m.Spec.Model {
		return "spec.model"
	}
	return "spec.servedName"
}

// ConflictServers returns the first conflict of s with another server on the same
// external etcd: their namespaces are equal, or one is the other's followed by
// "-", so that one's frontend would list the other's workers. others may hold s
// itself. All have their defaults filled in.
func ConflictServers(s Server, others []Server) *Invalid {
	for _, o := range others {
		if o.Metadata.Name == s.Metadata.Name || !sameEtcd(s.Spec.Etcd.Endpoint, o.Spec.Etcd.Endpoint) {
			continue
		}
		a, b := s.Spec.DynamoNamespace, o.Spec.DynamoNamespace
		if NamespacesClash(a, b) {
			return &Invalid{
				Reason: ReasonNamespaceConflict,
				Path:   "spec.dynamoNamespace",
				Message: fmt.Sprintf("the namespace %q and that of server %s, %q, are on one etcd, and each would see the other's workers; choose another spec.dynamoNamespace",
					a, o.Metadata.Name, b),
			}
		}
	}
	return nil
}

// NamespacesClash reports whether two servers with these Dynamo namespaces would see
// each other's workers in one etcd.
func NamespacesClash(a, b string) bool {
	return a == b || strings.HasPrefix(a, b+"-") || strings.HasPrefix(b, a+"-")
}

// sameEtcd reports whether two comma-separated lists of endpoints share one. A
// managed etcd (an empty list) is never shared.
func sameEtcd(a, b string) bool {
	hosts := etcdHosts(a)
	return slices.ContainsFunc(etcdHosts(b), func(h string) bool { return slices.Contains(hosts, h) })
}

func etcdHosts(list string) []string {
	var out []string
	for address := range strings.SplitSeq(list, ",") {
		address = strings.ToLower(strings.TrimSpace(address))
		if _, rest, ok := strings.Cut(address, "://"); ok {
			address = rest
		}
		if address = strings.TrimRight(address, "/"); address != "" {
			out = append(out, address)
		}
	}
	return out
}

// CheckMove refuses a revision of a server that would move its etcd or NATS or
// rename its namespace; the caller asks only while a worker is registered. The
// annotation [RecreateAnnotation] with the accepted revision, in decimal, allows
// it. Both servers have their defaults filled in.
func CheckMove(old, new Server, accepted uint64) *Invalid {
	if new.Metadata.Annotations[RecreateAnnotation] == strconv.FormatUint(accepted, 10) {
		return nil
	}
	field, was, now := movedField(old.Spec, new.Spec)
	if field == "" {
		return nil
	}
	return &Invalid{
		Reason: ReasonMovesInfra,
		Path:   field,
		Message: fmt.Sprintf("changing it from %s to %s would cut off workers that are registered; to accept that, add the annotation %s: %q, or delete the models first",
			was, now, RecreateAnnotation, strconv.FormatUint(accepted, 10)),
	}
}

// movedField is the first field whose change moves etcd or NATS or renames the
// namespace, with its old and its new value.
func movedField(old, new ServerSpec) (field, was, now string) {
	quote := func(s string) string {
		if s == "" {
			return "managed"
		}
		return strconv.Quote(RedactURL(s))
	}
	excludes := func(p PlacementSpec) bool { return p.ExcludeHeadNode != nil && *p.ExcludeHeadNode }
	fields := []struct{ path, old, new string }{
		{"spec.dynamoNamespace", quote(old.DynamoNamespace), quote(new.DynamoNamespace)},
		{"spec.etcd.endpoint", quote(old.Etcd.Endpoint), quote(new.Etcd.Endpoint)},
		{"spec.nats.url", quote(old.NATS.URL), quote(new.NATS.URL)},
		{
			"spec.placement.excludeHeadNode",
			strconv.FormatBool(excludes(old.Placement)), strconv.FormatBool(excludes(new.Placement)),
		},
		{
			"spec.placement.nodeSelector",
			fmt.Sprint(old.Placement.NodeSelector), fmt.Sprint(new.Placement.NodeSelector),
		},
	}
	for _, f := range fields {
		if f.old != f.new {
			return f.path, f.old, f.new
		}
	}
	return "", "", ""
}
