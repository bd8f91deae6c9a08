"""What `postroad doctor` looks at: a module a subject. A check finds out and never changes anything."""
