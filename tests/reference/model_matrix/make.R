# Model matrices as R and lme4 make and name them, for tests/unit/design/test_model_matrix_against_r.py.
# Run in this folder: Rscript make.R   (writes expected.json and session.txt)
suppressPackageStartupMessages({library(jsonlite); library(splines); library(lme4)})
d <- read.csv("data.csv", stringsAsFactors = FALSE)
d$sex <- factor(d$sex, levels = c("m", "f"))          # the reference is not the first of the alphabet
d$arm <- factor(d$arm)
d$dose <- factor(d$dose, levels = c("low", "mid", "high", "top"), ordered = TRUE)
d$school <- factor(d$school); d$class <- factor(d$class)

fixed <- c(
  "1", "x", "0 + x", "x - 1", "-1 + x", "x + 0", "1 + x", "sex", "0 + sex", "0 + sex + arm", "x + sex",
  "sex + x", "sex * arm", "x * sex", "sex * x", "x:sex", "sex:x", "x + x:sex", "sex + x:sex", "sex:arm", "0 + sex:arm",
  "arm + sex:arm", "sex + sex:arm", "x + sex + x:sex:arm", "x + sex:x:arm + sex", "(x + z + sex)^2", "(x + z + w)^3",
  "(x + z)^2 - x:z", "x * z * w - x:z:w", "sex/arm", "sex/x", "(sex + arm)/x", "arm %in% sex", "x/z/w",
  "dose", "0 + dose", "dose * x", "dose:sex", "sex + dose:sex", "0 + x + dose", "0 + x + sex + arm", "0 + x:sex + arm",
  "I(x^2)", "x + I(x^2)", "I(x*2)", "I(x/1000)", "I(x * 0.1)", "I(x + 100000)", "I(x - 123456)", "I((x-2)^2)", "I(-x)",
  "I(x*1e-5)", "I(2^x)", "I(-x^2)", "I(x/2/2)", "I(x - 1 - 1)", "I(x*z)", "log(x)", "log(x+1)", "log1p(x)", "exp(-x)", "sqrt(w)",
  "abs(z)", "log2(x)", "log10(x)", "I(log(x)^2)", "scale(x)", "scale(x, scale = FALSE)", "scale(x, center=FALSE)",
  "scale(log(x))", "I(scale(x)^2)", "scale(x) * sex", "poly(x, 2)", "poly(x, 1)", "poly(x)", "poly(x, degree = 3)", "poly(x,2,raw=TRUE)",
  "poly(x, 2) * sex", "sex + poly(x, 2):sex", "poly(log(x), 2)", "poly(x, 2):poly(z, 2)", "bs(x)", "bs(x, df = 4)", "bs(x, 6)",
  "bs(x, df=5, degree=2)", "bs(x, df=3, degree=1)", "ns(x)", "ns(x, df = 3)", "ns(x, 4)", "ns(x, df=2) * sex",
  "factor(cyl)", "as.factor(cyl)", "factor(cyl) * x", "0 + factor(cyl)", "factor(sex)", "factor(dose)", "factor(cyl > 4)",
  "sex:arm:x", "x + z + x:arm", "arm:x + x", "z:x + x", "sex + sex", "x + (z + (w))", "x + z - z", "x * z - z", "sex*arm*dose",
  "offset(x) + z", "z + offset(log(w))", "1 - 1 + x", "0 + 1 + x", "x:x", "(sex + arm + dose)^2 - sex:dose",
  "(x + z * arm)^2", "(x + sex/z)^3", "sex %in% (x + arm)", "x + z + (z * w - z)", "(x + z) %in% sex", "0 + (x + z)", "(0 + x) + sex",
  "dose/sex", "(sex/arm)/x", "sex/(arm/x)", "sex/arm/x", "x + (sex + x:sex) - x"
)
fixed <- setdiff(fixed, "factor(cyl > 4)")   # comparisons are not part of our formulas

one_fixed <- function(rhs) {
  frame <- model.frame(as.formula(paste("y ~", rhs)), d)
  X <- model.matrix(attr(frame, "terms"), frame)
  list(rhs = rhs, names = I(colnames(X)), matrix = unname(X), offset = model.offset(frame))
}

# what lme4 itself does with random terms, nested factors and columns that are linear combinations
whole <- c(
  "y ~ x + (1 | school)", "y ~ x + (x | school)", "y ~ x + (0 + x | school)", "y ~ x + (x - 1 | school)",
  "y ~ x + (sex | school)", "y ~ x + (0 + sex | school)", "y ~ x + (1 | school/class)", "y ~ x + (1 | school:class)",
  "y ~ x + (x:z | school)", "y ~ x + (x * sex | school)", "y ~ x + (poly(x, 2) | school)", "y ~ x + (dose | school)",
  "y ~ x + (I(x^2) | school)", "y ~ x + (1 | school) + (1 | arm)", "y ~ x + I(2 * x) + (1 | school)",
  "y ~ sex + arm + sex:arm + dose + dose:arm + (1 | school)", "y ~ x + z + I(x + z) + w + (1 | school)",
  "y ~ 0 + sex + arm + I(x * 0) + (1 | school)", "y ~ x:arm:sex + arm:sex + (1 | school)", "log(y) ~ x + (1 | school)"
)
control <- lmerControl(check.nobs.vs.nlev = "ignore", check.nobs.vs.nRE = "ignore", check.nlev.gtr.1 = "ignore",
                       check.rankX = "message+drop.cols", check.scaleX = "ignore", check.nobs.vs.rankZ = "ignore")
one_whole <- function(text) {
  made <- suppressMessages(lFormula(as.formula(text), d, control = control))
  terms <- lapply(seq_along(made$reTrms$cnms), function(i) {
    factor <- made$reTrms$flist[[attr(made$reTrms$flist, "assign")[i]]]
    list(group = names(made$reTrms$cnms)[i], names = I(made$reTrms$cnms[[i]]), levels = I(levels(factor)),
         Z = {
           q <- length(made$reTrms$cnms[[i]])
           block <- as.matrix(made$reTrms$Ztlist[[i]])
           # rows of Zt run over coefficients within levels
           t(sapply(seq_len(nrow(d)), function(row) block[(as.integer(factor)[row] - 1) * q + seq_len(q), row]))
         })
  })
  y <- model.response(made$fr)
  list(formula = text, names = I(colnames(made$X)), matrix = unname(as.matrix(made$X)), y = as.numeric(y), random = terms)
}
deparsed <- c("I(x*2)", "I(x^2)", "I(x/2)", "I((x-1)/2)", "log(x+1)", "I(x*1e5)", "I(x*100000)", "I(x*123456)", "I(x*0.0001)", "I(x*1e-4)",
  "I(x*1e15)", "I(x*1e16)", "I(x*0.1)", "I(x*1.50)", "I(x*1000)", "I(x*1200000)", "I(-x)", "I(-(x))", "bs(x,df=4)", "poly(x,2,raw=TRUE)",
  "I(x - -1)", "`odd name`", "log.radon", "I(x*0.1234567890123456)", "I(x*3.0e2)")
write_json(list(
  fixed = lapply(fixed, one_fixed), whole = lapply(whole, one_whole),
  deparse = lapply(deparsed, function(text) list(text = text, written = deparse(str2lang(text), backtick = TRUE)))
), "expected.json", digits = I(15), auto_unbox = TRUE, null = "null", matrix = "rowmajor")
writeLines(capture.output(sessionInfo()), "session.txt")
