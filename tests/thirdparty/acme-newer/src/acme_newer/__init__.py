"""Must never be imported by this core."""

raise SystemExit("imported although it is made for another core")
