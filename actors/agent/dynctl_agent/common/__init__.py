"""What the job and the actor agree on, and the little that both stand on. It imports
nothing but the standard library."""
