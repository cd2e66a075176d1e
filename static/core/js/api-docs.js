/* Starts Swagger on the page of the management API; what it needs to know stands on the element it draws into. */
(() => {
  "use strict";
  const { schema, settings, csrfHeader, csrfToken } = document.getElementById("swagger-ui").dataset;
  // Somebody who is signed in may try calls from here; those that change something need the token.
  const requestInterceptor = (request) => {
    if (!["GET", undefined].includes(request.method) && request.credentials === "same-origin") {
      request.headers[csrfHeader] = csrfToken;
    }
    return request;
  };
  SwaggerUIBundle({
    url: schema,
    dom_id: "#swagger-ui",
    presets: [SwaggerUIBundle.presets.apis],
    layout: "BaseLayout",
    requestInterceptor,
    ...JSON.parse(settings),
  });
})();
