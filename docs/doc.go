// Package docs holds the documentation. Its tests keep it true: every command is
// run, every reason and every event is described, every link leads somewhere.
package docs
