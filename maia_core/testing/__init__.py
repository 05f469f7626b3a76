"""The authors' kit: fakes for every role (`fakes`) and a conformance suite for every kind (`suites`)."""
