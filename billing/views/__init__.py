"""Pages of finance, of creators' earnings and of cost centers' bills."""
