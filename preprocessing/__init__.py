"""Messages to arrays: Avro decoding, FITS cutouts, stamps, light curves; masks and quality flags."""
