# Residual covariances by nlme (gls and lme): what the peer of the field says of them.
# Run in this folder:  Rscript make.R
source("../peers.R")
suppressPackageStartupMessages(library(nlme))

read <- function(dataset) {
  path <- tempfile(fileext = ".csv")
  stopifnot(system2(python(), c("../make_data.py", "nlme", dataset, path)) == 0)
  frame <- read.csv(path, check.names = FALSE)
  for (name in intersect(c("Subject", "Mare", "Rat", "Diet"), names(frame))) frame[[name]] <- factor(frame[[name]])
  frame$one <- 1
  frame$w <- 1 + (seq_len(nrow(frame)) %% 4) / 2
  frame$inverse <- 1 / frame$w
  frame
}
sex <- function(frame) transform(frame, Sex = factor(Sex, levels = c("Male", "Female")), visit = age / 2 - 3)
frames <- list(
  Orthodont = sex(read("Orthodont")), Ovary = read("Ovary"), BodyWeight = read("BodyWeight"),
  Dialyzer = read("Dialyzer")
)

# nlme's default tolerances leave errors of 1e-4; these leave 1e-7.
gls_tight <- glsControl(maxIter = 500, msMaxIter = 1000, tolerance = 1e-12, msTol = 1e-12, singular.ok = TRUE, opt = "nlminb")
lme_tight <- lmeControl(maxIter = 500, msMaxIter = 1000, niterEM = 200, tolerance = 1e-12, msTol = 1e-12, opt = "nlminb")

one <- function(dataset, formula, residual, correlation = NULL, weights = NULL, random = NULL, reml = TRUE, bars = NULL) {
  frame <- frames[[dataset]]
  method <- if (reml) "REML" else "ML"
  fit <- if (is.null(random)) {
    eval(bquote(gls(.(formula), frame, correlation = .(correlation), weights = .(weights), method = method, control = gls_tight)))
  } else {
    eval(bquote(lme(.(formula), frame, random = .(random), correlation = .(correlation), weights = .(weights), method = method, control = lme_tight)))
  }
  # by ML, gls inflates the covariance of the fixed effects by n / (n - p), and so is no ML estimate of it
  inflation <- if (is.null(random) && !reml) nrow(frame) / (nrow(frame) - length(coef(fit))) else 1
  beta <- if (is.null(random)) coef(fit) else fixef(fit)
  cors <- if (is.null(correlation)) NULL else coef(fit$modelStruct$corStruct, unconstrained = FALSE)
  vars <- if (is.null(weights)) NULL else coef(fit$modelStruct$varStruct, unconstrained = FALSE, allCoef = TRUE)
  list(
    dataset = dataset, formula = paste(c(deparse1(formula), bars), collapse = " + "), residual = residual, reml = reml,
    weights = if (identical(weights, quote(varFixed(~inverse)))) "w" else NULL,
    terms = names(beta), beta = unname(beta), std_error = unname(sqrt(diag(if (is.null(random)) fit$varBeta / inflation else vcov(fit)))),
    log_likelihood = as.numeric(logLik(fit)), n_parameters = attr(logLik(fit), "df"),
    sigma = fit$sigma, correlation = as.list(cors), variance = as.list(vars),
    sd = if (is.null(random)) NULL else as.list(sqrt(diag(as.matrix(getVarCov(fit)))))
  )
}

growth <- distance ~ age * Sex
egg <- follicles ~ Time + I(Time^2)
gain <- weight ~ Time * Diet
flow <- rate ~ pressure + I(pressure^2) + QB
un <- list(structure = "unstructured", time = "age")
car <- function(time) list(structure = "ar1", time = time)
fits <- list(
  un = one("Orthodont", growth, un, quote(corSymm(form = ~visit | Subject)), quote(varIdent(form = ~1 | visit))),
  un_ml = one("Orthodont", growth, un, quote(corSymm(form = ~visit | Subject)), quote(varIdent(form = ~1 | visit)), reml = FALSE),
  cs = one("Orthodont", growth, list(structure = "compound_symmetry"), quote(corCompSymm(form = ~1 | Subject))),
  cs_ml = one("Orthodont", growth, list(structure = "compound_symmetry"), quote(corCompSymm(form = ~1 | Subject)), reml = FALSE),
  csh = one("Orthodont", growth, list(structure = "compound_symmetry", time = "age", heterogeneous = TRUE), quote(corCompSymm(form = ~1 | Subject)), quote(varIdent(form = ~1 | visit))),
  ar1 = one("Orthodont", growth, car("age"), quote(corCAR1(form = ~age | Subject))),
  ar1_ml = one("Orthodont", growth, car("age"), quote(corCAR1(form = ~age | Subject)), reml = FALSE),
  ar1h = one("Orthodont", growth, list(structure = "ar1", time = "age", heterogeneous = TRUE), quote(corCAR1(form = ~age | Subject)), quote(varIdent(form = ~1 | visit))),
  toeplitz = one("Orthodont", growth, list(structure = "toeplitz", time = "age"), quote(corARMA(form = ~visit | Subject, p = 3))),
  arms = one("Orthodont", growth, list(structure = "compound_symmetry", variance = list(strata = "Sex")), quote(corCompSymm(form = ~1 | Subject)), quote(varIdent(form = ~1 | Sex))),
  weighted = one("Orthodont", growth, car("age"), quote(corCAR1(form = ~age | Subject)), quote(varFixed(~inverse))),
  strata = one("Orthodont", growth, list(variance = list(strata = "Sex")), NULL, quote(varIdent(form = ~1 | Sex))),
  mare = one("Ovary", egg, car("Time"), quote(corCAR1(form = ~Time | Mare))),
  mare_random = one("Ovary", egg, c(car("Time"), subject = "Mare"), quote(corCAR1(form = ~Time | Mare)), NULL, quote(list(Mare = ~1)), reml = FALSE, bars = "(1 | Mare)"),
  rat = one("BodyWeight", gain, car("Time"), quote(corCAR1(form = ~Time | Rat))),
  rat_power = one("BodyWeight", gain, c(car("Time"), list(variance = list(power = "Time"))), quote(corCAR1(form = ~Time | Rat)), quote(varPower(form = ~Time))),
  rat_exponential = one("BodyWeight", gain, c(car("Time"), list(variance = list(exponential = "Time"))), quote(corCAR1(form = ~Time | Rat)), quote(varExp(form = ~Time))),
  rat_random = one("BodyWeight", gain, c(car("Time"), subject = "Rat"), quote(corCAR1(form = ~Time | Rat)), NULL, quote(list(Rat = ~Time)), bars = "(Time | Rat)"),
  rat_random_power = one("BodyWeight", gain, list(variance = list(power = "Time"), subject = "Rat"), NULL, quote(varPower(form = ~Time)), quote(list(Rat = ~Time)), bars = "(Time | Rat)"),
  dialyzer = one("Dialyzer", flow, c(car("index"), list(variance = list(power = "pressure"))), quote(corAR1(form = ~index | Subject)), quote(varPower(form = ~pressure))),
  dialyzer_exponential = one("Dialyzer", flow, list(variance = list(exponential = "pressure")), NULL, quote(varExp(form = ~pressure)), reml = FALSE)
)
write_json(list(source = "nlme::gls and nlme::lme", fits = fits), "expected.json", digits = I(12), auto_unbox = TRUE, null = "null", pretty = TRUE)
writeLines(c(R.version.string, paste("nlme", packageVersion("nlme"))), "session.txt")
