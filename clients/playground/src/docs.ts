// The API reference: Scalar on /openapi.json. It sends requests from the page itself and to this origin alone; its proxy, its
// agent, its telemetry, its fonts and its registry are off. The browser holds it to that (Content-Security-Policy).

declare const Scalar: { createApiReference(where: string, options: object): unknown };

Scalar.createApiReference("#reference", {
  url: "openapi.json",
  proxyUrl: "",
  telemetry: false,
  agent: { disabled: true },
  mcp: { disabled: true },
  withDefaultFonts: false,
  hideClientButton: true,
  showDeveloperTools: "never",
  persistAuth: false,
  documentDownloadType: "none",
  modelsSectionLabel: "Schemas",
  defaultHttpClient: { targetKey: "shell", clientKey: "curl" },
});
