package ltp

import (
	"fmt"
	"strings"
)

// currencies are the codes of ISO 4217 in use, without funds, metals and testing
// codes. A currency whose minor unit is not a hundredth carries its number of
// decimals.
const currencies = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD3 BIF0 BMD BND BOB BRL BSD BTN BWP BYN BZD " +
	"CAD CDF CHF CLP0 CNY COP CRC CUP CVE CZK DJF0 DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF0 GTQ GYD " +
	"HKD HNL HTG HUF IDR ILS INR IQD3 IRR ISK0 JMD JOD3 JPY0 KES KGS KHR KMF0 KPW KRW0 KWD3 KYD KZT LAK LBP LKR LRD LSL LYD3 " +
	"MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR3 PAB PEN PGK PHP PKR PLN PYG0 QAR " +
	"RON RSD RUB RWF0 SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND3 TOP TRY TTD TWD TZS " +
	"UAH UGX0 USD UYU UZS VED VES VND0 VUV0 WST XAF0 XCD XCG XOF0 XPF0 YER ZAR ZMW ZWG"

// decimals is how many decimals a currency has, and false when there is no such
// currency.
func decimals(currency string) (int, bool) {
	if len(currency) != 3 || strings.ContainsAny(currency, " 03") {
		return 0, false
	}
	i := strings.Index(" "+currencies, " "+currency)
	if i < 0 {
		return 0, false
	}
	switch rest := currencies[i+3:]; {
	case strings.HasPrefix(rest, "0"):
		return 0, true
	case strings.HasPrefix(rest, "3"):
		return 3, true
	}
	return 2, true
}

// Amount is an amount for people: "120.00 USD", "12000 JPY". Of a currency that is
// not known it gives the minor units.
func Amount(minor int64, currency string) string {
	n, ok := decimals(currency)
	switch {
	case !ok:
		return fmt.Sprintf("%d minor units of %s", minor, currency)
	case n == 0:
		return fmt.Sprintf("%d %s", minor, currency)
	}
	sign := ""
	if minor < 0 {
		sign, minor = "-", -minor
	}
	unit := int64(100)
	if n == 3 {
		unit = 1000
	}
	return fmt.Sprintf("%s%d.%0*d %s", sign, minor/unit, n, minor%unit, currency)
}
