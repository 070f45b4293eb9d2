"""What drcli's figures come from: `make bench`."""
