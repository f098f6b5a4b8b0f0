package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// What people know from kubectl and the like, and what does the same here.
var (
	habitualVerbs = map[string]string{
		"describe": "dynctl status model/NAME", "create": "dynctl set FILE", "replace": "dynctl set FILE",
		"edit":    "dynctl get model NAME -o yaml > FILE, then dynctl set FILE",
		"rollout": "dynctl status, dynctl history, dynctl rollback and dynctl restart", "undo": "dynctl rollback model/NAME",
		"top": "dynctl get nodes", "ps": "dynctl get units", "ls": "dynctl get models", "list": "dynctl get models",
		"rm": "dynctl delete model/NAME", "remove": "dynctl delete model/NAME", "stop": "dynctl suspend model/NAME", "start": "dynctl resume model/NAME",
		"config": "dynctl context", "validate": "dynctl plan FILE", "health": "dynctl doctor",
	}
	habitualKinds = map[string]string{
		"pods": "dynctl get units", "pod": "dynctl get units", "po": "dynctl get units", "replicas": "dynctl get units", "workers": "dynctl get units",
		"deployments": "dynctl get models", "deployment": "dynctl get models", "deploy": "dynctl get models",
		"namespaces": "dynctl get servers", "namespace": "dynctl get servers", "ns": "dynctl get servers",
		"services": "dynctl get servers", "service": "dynctl get servers", "svc": "dynctl get servers",
		"events": "dynctl events", "ev": "dynctl events", "logs": "dynctl logs model/NAME", "all": "dynctl status",
	}
)

// habitualFlag is what a flag that a command does not have is written as here; empty where
// nobody can know what was meant.
func habitualFlag(cmd *cobra.Command, name string) string {
	switch name {
	case "f", "filename", "file":
		if strings.Contains(cmd.Use, "FILE") {
			return fmt.Sprintf("files are named as they are: %s FILE", cmd.CommandPath())
		}
	case "n", "namespace":
		return "a server keeps names apart: --server NAME"
	case "A", "all-namespaces":
		return "without --server it is about all servers"
	case "w", "watch":
		return "dynctl watch shows what changes, dynctl events --follow tells of it"
	case "R", "recursive":
		return "of a directory all below it is read"
	case "dry-run":
		return "dynctl plan FILE says what would happen"
	}
	return ""
}

// habit is "here that is ..." for a word that is known from elsewhere.
func habit(words map[string]string, word string) string {
	if here, ok := words[word]; ok {
		return ": here that is " + here
	}
	return ""
}
