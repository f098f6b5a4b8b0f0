// Package render turns accepted specs into templates, and a template with a shape into
// the unit that the agent starts: command lines, environments, ports, health checks,
// generations and digests, and what the releases of Dynamo take. It is pure, looks at one
// object at a time, and imports actors, actors/place, router and state.
package render
