"""drcli: brings a site back, layer by layer, each component proven before the next starts."""

__version__ = "0.1.0"
