"""From a bucket of images to one file of tiles per plate."""
