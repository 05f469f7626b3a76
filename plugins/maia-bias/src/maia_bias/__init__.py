"""Questions about a whole model: its biases, tested on matched pairs of images."""

from maia_bias.findings import Finding, findings_of, read_findings, write_findings

__all__ = ["Finding", "findings_of", "read_findings", "write_findings"]
