// Tells the server the reader's time zone, so that dates are rendered in it from the next page on.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone && /^[\w+\-/]{1,64}$/.test(zone)) {
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `postroad_zone=${zone}; Path=/mail; Max-Age=31536000; SameSite=Lax${secure}`;
}
