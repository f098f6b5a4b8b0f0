package simray

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// facts tells the stream what the agent does. It is used in the queue alone.
type facts struct {
	js          jetstream.JetStream
	log         *slog.Logger
	incarnation uint64
	told        int
}

// tell publishes a fact about a unit and waits for nothing.
func (f *facts) tell(typ string, u *unit, reason, message string) {
	f.told++
	id := fmt.Sprintf("%s-%d-%s-%s-%d", typ, f.incarnation, u.key.Server, u.key.Unit, f.told)
	body, err := json.Marshal(map[string]any{
		"specversion": "1.0", "id": id, "type": typ, "source": fmt.Sprintf("dynctl/agent/%d", f.incarnation),
		"subject": u.key.Unit, "time": time.Now().UTC(), "datacontenttype": "application/json",
		"data": eventData{Server: u.key.Server, Model: u.template.Model, Unit: u.key.Unit, Generation: u.template.Generation,
			CauseID: u.causeID, Reason: reason, Message: message},
	})
	if err == nil {
		_, err = f.js.PublishMsgAsync(&nats.Msg{Subject: subjectPrefix + u.key.Server + "." + typ + "." + u.key.Unit, Data: body}, jetstream.WithMsgID(id))
	}
	if err != nil {
		f.log.Warn("simray: a fact was dropped", "type", typ, "unit", u.key, "err", err)
	}
}
