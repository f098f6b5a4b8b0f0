// Package ops is the page for the people who run the system: servers, models,
// nodes and events, as of the last round.
//
// Everything is rendered here, on the server, from an [Input]; the page works
// without JavaScript. With it, the same sections arrive over a stream of
// server-sent events whenever they change and are put in place without closing
// what is open or moving the focus. The package reads and never acts: the page
// shows the commands that do.
//
// Vocabulary: a section is a part of the page that is replaced as a whole; its
// version is a hash of its HTML. A row is one event of the timeline. Trouble is
// an event that somebody may have to look at.
package ops
