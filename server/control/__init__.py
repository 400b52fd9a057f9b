"""The operator's commands: `onward list`, `show`, `rm`, `events`, `backup` and `sweep`, also while a server runs.

SQLite can be opened by one process only. So a server that has its state to itself listens at a Unix socket in the data
folder, and does what a command asks for. Where no server runs, and over Redis, the command opens the storage itself.

    onward list                                      caller.py
      │  is there a server at DATA/control.sock?     channel.py
      ├─ yes ── {"command": "list", …} ────────────▶ the server: listener.py ─▶ commands.py, on its own engine
      │         ◀─────────── one line per answer ──
      └─ no, or Redis: open the storage ───────────▶ commands.py, on an engine of this process
      ▼
    a table, sentences, or JSON                      output.py

A new command is a function and a row in COMMANDS (commands.py), and a way to print what it answers (output.py).
"""
