"""What we keep of calls: lines of JSON, never audio, and no words unless a setting says so."""
