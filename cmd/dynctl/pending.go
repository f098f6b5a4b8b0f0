package main

import "github.com/spf13/cobra"

func (a *app) logsCmd() *cobra.Command  { return &cobra.Command{Use: "logs"} }
func (a *app) watchCmd() *cobra.Command { return &cobra.Command{Use: "watch"} }
