package ray

import (
	"context"
	"fmt"
	"net/http"
)

// ClusterInfo is what a Ray cluster says about itself.
type ClusterInfo struct {
	Address string // of the dashboard
	Version string // Ray's, "2.60.0"
	// Session names the life of the head: another one is another cluster.
	Session string
	Nodes   int // alive
	GPUs    int // of all nodes alive
	CPUs    int
	// Autoscaling reports whether the dashboard shows an autoscaler at work. Ray's
	// autoscaler v2 does not report there: the agent's word counts.
	Autoscaling bool
}

// Check asks a cluster what it is. Errors: ErrUnreachable, ErrUnauthorized,
// ErrNotRay, ErrRefused, and those of the resolver.
func Check(ctx context.Context, resolver Resolver, token string) (ClusterInfo, error) {
	way, err := resolver.Endpoint(ctx)
	if err != nil {
		return ClusterInfo{}, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	defer transport.CloseIdleConnections()
	return newClient(way, token, transport).check(ctx)
}

func (c *client) check(ctx context.Context) (ClusterInfo, error) {
	var version struct {
		Ray     string `json:"ray_version"`
		Session string `json:"session_name"`
	}
	if err := c.get(ctx, "/api/version", &version); err != nil {
		return ClusterInfo{}, err
	}
	if version.Ray == "" {
		return ClusterInfo{}, fmt.Errorf("%s: %w: /api/version names no Ray version", c.address, ErrNotRay)
	}
	info := ClusterInfo{Address: c.address, Version: version.Ray, Session: version.Session}

	var nodes struct {
		Data struct {
			Result struct {
				Result []struct {
					State     string             `json:"state"`
					Resources map[string]float64 `json:"resources_total"`
				} `json:"result"`
			} `json:"result"`
		} `json:"data"`
	}
	if err := c.get(ctx, "/api/v0/nodes?detail=1&limit=10000", &nodes); err != nil {
		return ClusterInfo{}, err
	}
	for _, n := range nodes.Data.Result.Result {
		if n.State == "ALIVE" {
			info.Nodes++
			info.GPUs += int(n.Resources["GPU"])
			info.CPUs += int(n.Resources["CPU"])
		}
	}

	// The read-only autoscaler of a cluster that never grows reports as well, and
	// calls each node's type "node_" and the node's id.
	var status struct {
		Data struct {
			Cluster struct {
				Report struct {
					Types map[string]string `json:"nodeTypeMapping"`
				} `json:"autoscalerReport"`
			} `json:"clusterStatus"`
		} `json:"data"`
	}
	if err := c.get(ctx, "/api/cluster_status", &status); err != nil {
		return ClusterInfo{}, err
	}
	for node, typ := range status.Data.Cluster.Report.Types {
		if typ != "node_"+node {
			info.Autoscaling = true
		}
	}
	return info, nil
}
