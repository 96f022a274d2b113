"""What ties accounts together, as a pack declares it: `relations/*.yaml`, read and checked."""
